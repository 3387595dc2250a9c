import { beforeAll, describe, expect, it } from 'vitest'
import {
  FormatError,
  NotFoundError,
  NumericError,
  OptionError,
  UnsupportedError,
} from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import { type Adapter, listParameterSpecs } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { adapterKinds } from '../kinds/kind-table.ts'
import { packAdapter, unpackAdapter } from '../packed/pack-adapter.ts'
import { PackedTensorMap } from '../packed/tensor-map.ts'
import { loadAdapter, saveAdapter } from './peft.ts'
import { asStored, storageTypes, type StorageType } from './storage.ts'
import {
  type Base,
  folderAt,
  memorySink,
  parity,
  relativeDistance,
  sampleOptions,
  storiesBase,
} from '../../../test/support/adapters.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

/** With numbers everywhere, as after training. */
function trained(kind: string, options = sampleOptions[kind] ?? {}): Adapter {
  const adapter = initializeAdapter(kind, options, base.model, {
    seed: 1,
    weightOf: base.weightOf,
    baseModel: 'stories260k',
  })
  const { normal } = random(2)
  const specs = listParameterSpecs(base.model, adapter)
  const tensors = new Map(
    [...adapter.tensors].map(([key, tensor]): [string, Tensor] => [
      key,
      specs.get(key)!.trainable
        ? f32(
            tensor.shape,
            toFloat32(tensor).map((value) => value + 0.02 * normal()),
          )
        : tensor,
    ]),
  )
  return { ...adapter, tensors }
}

async function saved(adapter: Adapter, dtype?: StorageType) {
  const sink = memorySink()
  await saveAdapter(adapter, sink, { dtype })
  return sink
}

const fileOf = (sink: Awaited<ReturnType<typeof saved>>): [string, Uint8Array] =>
  [...sink.files].find(([name]) => name.endsWith('.safetensors'))!

const errorOf = async (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => Promise.reject(new Error('nothing was thrown')),
    (error: Error) => error,
  )

describe.each(storageTypes)('an adapter in %s', (dtype) => {
  const limit = { f32: 0, f16: 4e-4, bf16: 3e-3, int8: 0.012, int4: 0.16 }[dtype]

  it.each([...adapterKinds.keys()])(
    'of kind %s comes back with the same keys and shapes, close to what it was',
    async (kind) => {
      // A PiSSA or OLoRA is saved as a plain LoRA; compared with that.
      const adapter = await loadAdapter(await saved(trained(kind)))
      const loaded = await loadAdapter(await saved(adapter, dtype))
      expect(loaded).toMatchObject({
        kind: adapter.kind,
        config: adapter.config,
        baseModel: 'stories260k',
      })
      expect([...loaded.tensors.keys()].sort()).toEqual([...adapter.tensors.keys()].sort())
      for (const [key, tensor] of adapter.tensors) {
        const got = loaded.tensors.get(key)!
        expect([key, got.shape]).toEqual([key, tensor.shape])
        expect(relativeDistance(toFloat32(got), toFloat32(tensor))).toBeLessThanOrEqual(limit)
      }
      expect([...asStored(adapter, dtype).tensors].sort()).toEqual([...loaded.tensors].sort())
    },
  )
})

it.each(['f32', 'f16', 'bf16'] as const)(
  'an adapter in %s is written to the same bytes again after reading it',
  async (dtype) => {
    const first = await saved(trained('lora', { rank: 3, loraBias: true }), dtype)
    expect((await saved(await loadAdapter(first), dtype)).files).toEqual(first.files)
  },
)

it.each(['int8', 'int4'] as const)(
  'an adapter in %s loses next to nothing when it is written so a second time',
  async (dtype) => {
    const once = await loadAdapter(await saved(trained('lora', { rank: 3 }), dtype))
    const twice = await loadAdapter(await saved(once, dtype))
    for (const [key, tensor] of once.tensors)
      expect(relativeDistance(toFloat32(twice.tensors.get(key)!), toFloat32(tensor))).toBeLessThan(
        2e-3,
      )
  },
)

describe.each(['int8', 'int4'] as const)('a file in %s that is kept packed', (dtype) => {
  it.each([...adapterKinds.keys()])(
    'of kind %s has the same values, and is written to the same bytes again',
    async (kind) => {
      const first = await saved(trained(kind), dtype)
      const packed = await loadAdapter(first, { packed: true })
      expect(packed.tensors).toBeInstanceOf(PackedTensorMap)
      expect({ ...packed, tensors: new Map(packed.tensors) }).toEqual(await loadAdapter(first))
      expect((await saved(packed)).files).toEqual(first.files)
      expect((await saved(packed, dtype)).files).toEqual(first.files)
      const other = dtype === 'int8' ? 'int4' : 'int8'
      for (const type of ['f32', other] as const)
        expect((await saved(packed, type)).files).toEqual(
          (await saved(unpackAdapter(packed), type)).files,
        )
    },
  )
  it('is the file that packing in memory makes', async () => {
    const adapter = await loadAdapter(await saved(trained('lora', { rank: 3 })))
    const packed = packAdapter(adapter, { bits: dtype === 'int8' ? 8 : 4 })
    expect((await saved(packed)).files).toEqual((await saved(adapter, dtype)).files)
  })
})

it('packed: folders in other types are read as without it; 16 bits are saved as f32', async () => {
  for (const dtype of ['f32', 'f16', 'bf16'] as const) {
    const folder = await saved(trained('lora'), dtype)
    expect(await loadAdapter(folder, { packed: true })).toEqual(await loadAdapter(folder))
  }
  const packed = packAdapter(trained('lora'), { bits: 16 })
  expect((await saved(packed)).files).toEqual((await saved(unpackAdapter(packed), 'f32')).files)
  await expect(loadAdapter(memorySink(), { pack: true } as never)).rejects.toThrow(
    'Did you mean "packed"?',
  )
})

describe('8 and 4 bits', () => {
  /** One LoRA of rank 8 on a layer 768 wide, the size of the whole file. */
  const wide = (): Adapter => {
    const { normal } = random(1)
    const tensor = (shape: number[]): Tensor =>
      f32(shape, Float32Array.from({ length: sizeOf(shape) }, normal))
    const at = 'base_model.model.model.layers.0.self_attn.q_proj'
    return {
      kind: 'lora',
      config: adapterKinds.get('lora')!.complete({ rank: 8 }),
      tensors: new Map([
        [`${at}.lora_A.weight`, tensor([8, 768])],
        [`${at}.lora_B.weight`, tensor([768, 8])],
      ]),
    }
  }

  it.each([
    ['int8', 0.27],
    ['int4', 0.15],
  ] as const)(
    '%s: a file of rank 8 at width 768 has at most %d of the bytes of f32',
    async (dtype, most) => {
      const plain = fileOf(await saved(wide(), 'f32'))[1]
      const small = fileOf(await saved(wide(), dtype))[1]
      expect(small.length / plain.length).toBeLessThanOrEqual(most)
    },
  )

  it('keep what multiplies or replaces the base as it is: vectors, factors near one, modules saved whole', async () => {
    for (const [kind, options] of [
      ['dora', { modulesToSave: ['lm_head'] }],
      ['ia3', {}],
      ['vera', { rank: 8 }],
      ['lora', { loraBias: true }],
    ] as const) {
      const adapter = trained(kind, options)
      const loaded = await loadAdapter(await saved(adapter, 'int4'))
      const exact = [...adapter.tensors].filter(
        ([key]) => !/lora_[AB]\.weight|vera_[AB]$/.test(key),
      )
      expect(exact.length).toBeGreaterThan(0)
      for (const [key, tensor] of exact)
        expect([key, loaded.tensors.get(key)]).toEqual([key, tensor])
    }
  })

  it('make files that cannot be mistaken for PEFT’s: another peft_type, file name and format', async () => {
    const sink = await saved(trained('lora'), 'int4')
    expect([...sink.files.keys()]).toEqual([
      'adapter_model.int4.safetensors',
      'adapter_config.json',
    ])
    expect(
      JSON.parse(new TextDecoder().decode(sink.files.get('adapter_config.json'))).peft_type,
    ).toBe('GRAFT_INT4_LORA')
    const { metadata } = await openSafetensors(createMemorySource('x', fileOf(sink)[1]))
    expect(metadata['format']).toBe('graft')
  })

  it('are read from 16-bit adapters too, and saved as f32 without a trace of it', async () => {
    const adapter = await loadAdapter(folderAt(new URL('lora_qv_r8/', parity)))
    const small = await loadAdapter(await saved(asStored(adapter, 'bf16'), 'int8'))
    const again = await saved(small)
    expect([...again.files.keys()]).toEqual(['adapter_model.safetensors', 'adapter_config.json'])
    expect(await loadAdapter(again)).toEqual({
      ...small,
      tensors: new Map([...small.tensors].sort(([a], [b]) => (a < b ? -1 : 1))),
    })
  })
})

describe('bad input', () => {
  it('is refused before anything is written', async () => {
    const adapter = trained('lora')
    const [key, tensor] = [...adapter.tensors][0]!
    const having = (value: number): Adapter => {
      const data = toFloat32(tensor).slice()
      data[3] = value
      return { ...adapter, tensors: new Map([...adapter.tensors, [key, f32(tensor.shape, data)]]) }
    }
    const sink = memorySink()
    const fails = (value: number, dtype: string) =>
      errorOf(saveAdapter(having(value), sink, { dtype: dtype as StorageType }))
    expect(await fails(NaN, 'int4')).toBeInstanceOf(NumericError)
    expect((await fails(Infinity, 'int8')).message).toContain(key)
    expect((await fails(1e5, 'f16')).message).toContain(key)
    expect(await fails(0, 'int2')).toBeInstanceOf(OptionError)
    expect((await fails(0, 'int2')).message).toContain(
      'dtype: got "int2", expected "f32", "f16", "bf16", "int8", "int4"',
    )
    expect(sink.files.size).toBe(0)
  })

  /** The file with some of its tensors and texts changed, read again. */
  async function changed(
    dtype: 'int8' | 'int4',
    change: (
      tensors: Map<string, Tensor>,
      texts: Record<string, string>,
      keys: readonly string[],
    ) => void,
  ): Promise<Error> {
    const sink = await saved(trained('lora', { rank: 4 }), dtype)
    const [name, bytes] = fileOf(sink)
    const store = await openSafetensors(createMemorySource(name, bytes))
    const tensors = new Map<string, Tensor>()
    for (const key of store.tensors.keys()) tensors.set(key, await store.read(key))
    const texts = { ...store.metadata } as Record<string, string>
    change(
      tensors,
      texts,
      [...tensors.keys()]
        .filter((key) => key.endsWith('.q'))
        .map((key) => key.slice(0, -2))
        .sort(),
    )
    await sink.write(name, encodeSafetensors(tensors, texts))
    return errorOf(loadAdapter(sink))
  }
  const withData = (tensor: Tensor, data: Tensor['data']): Tensor => ({
    ...tensor,
    shape: [data.length],
    data,
  })

  it('names everything that is wrong with the blocks in one error', async () => {
    const error = await changed('int4', (tensors, _, [one, two, three, four]) => {
      tensors.delete(`${one}.scale`)
      tensors.delete(`${two}.q`)
      const q = tensors.get(`${three}.q`)!
      tensors.set(`${three}.q`, withData(q, (q.data as Uint8Array).slice(1)))
      const scale = tensors.get(`${four}.scale`)!
      tensors.set(
        `${four}.scale`,
        withData(scale, Uint16Array.from(scale.data as Uint16Array).fill(0x7fc0, 1, 2)),
      )
    })
    expect(error).toBeInstanceOf(FormatError)
    expect(error.message).toContain(
      'adapter_model.int4.safetensors: its int4 blocks are incomplete',
    )
    expect(error.message).toContain('has no scales')
    expect(error.message).toContain('there are no codes for these scales')
    expect(error.message).toMatch(
      /got 127 codes of type u8, expected 128 of type u8 for \[(4, 64|64, 4)\]/,
    )
    expect(error.message).toContain('the scale of block 1 is NaN or infinite')
  })

  it('refuses headers that do not say, or say wrongly, how the blocks lie', async () => {
    const header = async (text: string | undefined, dtype: 'int8' | 'int4' = 'int4') =>
      changed(dtype, (_, texts) => {
        if (text === undefined) delete texts['graft.storage']
        else texts['graft.storage'] = text
      })
    const sound = { version: 1, dtype: 'int4', blockSize: 64 }
    expect((await header(undefined)).message).toContain(
      'does not give the layout of its int4 blocks',
    )
    expect((await header('{')).message).toContain('is not a JSON object')
    expect((await header('[[[[[[1]]]]]]')).message).toContain('is not a JSON object')
    expect(await header(JSON.stringify({ ...sound, version: 2, shapes: {} }))).toBeInstanceOf(
      UnsupportedError,
    )
    expect(
      (await header(JSON.stringify({ ...sound, blockSize: 32, shapes: {} }))).message,
    ).toContain('"blockSize":32')
    expect((await header(JSON.stringify({ ...sound, dtype: 'int4' }), 'int8')).message).toContain(
      'expected {"version":1,"dtype":"int8"',
    )
    expect((await header(JSON.stringify(sound))).message).toContain('must give every tensor')
    expect(
      (await header(JSON.stringify({ ...sound, shapes: { x: [1e300, 1e300] } }))).message,
    ).toContain('must give every tensor')
    expect((await header(JSON.stringify({ ...sound, shapes: {} }))).message).toContain(
      'the header has no shape for it',
    )
    const gone = await changed('int4', (_, texts) => {
      const { shapes, ...others } = JSON.parse(texts['graft.storage']!)
      texts['graft.storage'] = JSON.stringify({ ...others, shapes: { ...shapes, gone: [4, 4] } })
    })
    expect(gone.message).toContain('gone: has a shape and no codes')
  })

  it('tells a torn file and a missing one', async () => {
    const sink = await saved(trained('lora'), 'int8')
    const [name, bytes] = fileOf(sink)
    sink.files.set(name, bytes.subarray(0, bytes.length - 100))
    expect((await errorOf(loadAdapter(sink))).message).toContain('truncated or corrupt')
    sink.files.delete(name)
    const gone = await errorOf(loadAdapter(sink))
    expect(gone).toBeInstanceOf(NotFoundError)
    expect(gone.message).toContain('has no adapter_model.int8.safetensors')
  })

  it('does not take a file of another tool for blocks', async () => {
    const sink = await saved(trained('lora'))
    const text = new TextDecoder().decode(sink.files.get('adapter_config.json'))
    await sink.write('adapter_config.json', [
      new TextEncoder().encode(text.replace('"LORA"', '"GRAFT_INT3_LORA"')),
    ])
    expect((await errorOf(loadAdapter(sink))).message).toContain('peft_type is "GRAFT_INT3_LORA"')
  })
})
