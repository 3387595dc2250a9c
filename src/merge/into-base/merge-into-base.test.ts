// Whole models written with adapters in their weights: opened again, they compute what base and
// adapter compute together.
import { describe, expect, it } from 'vitest'
import type { DType } from '../../base/dtype.ts'
import { MismatchError, NumericError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { viewBytes, f32, type Tensor } from '../../base/tensor.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { loadAdapter } from '../../adapters/files/peft.ts'
import {
  backend,
  folderAt,
  furthest,
  memorySink,
  parity,
  readTensors,
  rowsOf,
} from '../../../test/support/adapters.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openBaseModel, type BaseModelSource } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { createModel } from '../../runtime/model.ts'
import {
  resolveWeightedAdapters,
  mergeIntoBase,
  type MergeIntoBaseOptions,
} from './merge-into-base.ts'
import { asFolder, asGguf, createSmallModel } from '../testing.ts'
import type { WeightedAdapter } from './merged-weights.ts'

const ids = [[1, 17, 3, 44, 5, 60, 9]]
const small = createSmallModel()

async function logitsOf(
  source: BaseModelSource,
  adapter?: Parameters<ReturnType<typeof createModel>['logits']>[1],
): Promise<Float32Array> {
  const model = createModel({ base: await openBaseModel(source), backend })
  try {
    return (await model.logits(ids, adapter)).data
  } finally {
    await model.dispose()
  }
}

async function made(
  source: BaseModelSource,
  kind: string,
  options: object,
  seed = 3,
): Promise<Adapter> {
  const base = await openBaseModel(source)
  const weights = await readWeights(base)
  const adapter = initializeAdapter(kind, { ...options }, base.graph, {
    seed,
    weightOf: (name) => weights.get(name)!,
  })
  const noise = initializeAdapter(
    'lora',
    { rank: 64, targets: ['q_proj'], start: 'random' },
    base.graph,
    { seed: seed + 1 },
  )
  const values = toFloat32([...noise.tensors.values()][0]!)
  const tensors = [...adapter.tensors].map(([key, { shape, data }], k): [string, Tensor] => [
    key,
    f32(
      shape,
      (data as Float32Array).map((value, i) => value + 0.3 * values[(i + 7 * k) % values.length]!),
    ),
  ])
  return { ...adapter, tensors: new Map(tensors) }
}

const all = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

/** Writes, and opens what was written. */
async function written(
  source: BaseModelSource,
  parts: readonly WeightedAdapter[],
  options: MergeIntoBaseOptions = {},
) {
  const sink = memorySink()
  const result = await mergeIntoBase(
    { source, base: await openBaseModel(source) },
    parts,
    sink,
    options,
  )
  const { ggufName } = options
  const opened: BaseModelSource = ggufName
    ? { name: ggufName, gguf: createMemorySource(ggufName, sink.files.get(ggufName)!) }
    : { name: 'merged', folder: sink }
  return { result, sink, source: opened }
}

interface Readable {
  readonly tensors: ReadonlyMap<string, unknown>
  read(name: string): Promise<Tensor>
}

/** Names of the tensors whose type or bytes are not the same in both. */
async function differing(one: Readable, other: Readable): Promise<string[]> {
  const names: string[] = []
  for (const name of one.tensors.keys()) {
    const a = await one.read(name)
    const b = await other.read(name)
    if (a.dtype !== b.dtype || Buffer.compare(viewBytes(a), viewBytes(b)) !== 0) names.push(name)
  }
  return names
}

describe('into a folder', () => {
  it.each([
    ['lora', { rank: 4, targets: all }],
    ['dora', { rank: 4, targets: all }],
    ['ia3', {}],
    ['lokr', { rank: 4, targets: all }],
    ['loha', { rank: 4, targets: all }],
    ['vera', { rank: 8, targets: all }],
    ['lora', { rank: 2, targets: ['q_proj'], modulesToSave: ['norm', 'lm_head', '1.mlp.up_proj'] }],
    ['lora', { rank: 2, targets: ['embed_tokens', 'lm_head'] }],
  ])('%s %j computes what base and adapter do', async (kind, options) => {
    const source = asFolder(small)
    const adapter = await made(source, kind, options)
    const { source: merged, result } = await written(source, [{ adapter, weight: 1 }])
    const expected = await logitsOf(source, { adapter })
    expect(furthest(await logitsOf(merged), expected)).toBeLessThan(1e-4)
    expect(furthest(await logitsOf(source), expected)).toBeGreaterThan(1e-2)
    expect(result.changed.length).toBeGreaterThan(0)
    expect(
      result.changed.every(({ from, to, error }) => from === 'f32' && to === 'f32' && error === 0),
    ).toBe(true)
  })

  it('several by weight are the mixture of them, of any kinds, without cutting anything', async () => {
    const source = asFolder(small)
    const adapters = [
      await made(source, 'dora', { rank: 4, targets: all }),
      await made(source, 'lora', { rank: 3, targets: ['v_proj'] }, 8),
    ]
    const parts = resolveWeightedAdapters(adapters, { method: 'weighted', weights: [0.7, -0.4] })
    const { source: merged } = await written(source, parts)
    const mixture = {
      mixture: [
        { adapter: adapters[0]!, weight: 0.7 },
        { adapter: adapters[1]!, weight: -0.4 },
      ],
    }
    expect(
      furthest(await logitsOf(merged), await logitsOf(source, { adapter: mixture })),
    ).toBeLessThan(1e-4)
  })

  it('any other recipe is merged into one LoRA first', async () => {
    const source = asFolder(small)
    const adapters = [
      await made(source, 'lora', { rank: 4, targets: all }),
      await made(source, 'lora', { rank: 3, targets: all }, 8),
    ]
    const [part, ...more] = resolveWeightedAdapters(adapters, { method: 'ties', rank: 5 })
    expect(more).toEqual([])
    const { source: merged } = await written(source, [part!])
    expect(
      furthest(await logitsOf(merged), await logitsOf(source, { adapter: part!.adapter })),
    ).toBeLessThan(1e-4)
  })

  it('keeps types, and the bytes of what is not touched; text files and config go along', async () => {
    const files = {
      'generation_config.json': '{"eos_token_id": 5}',
      'tokenizer_config.json': '{ "odd":  "spacing" }',
    }
    const source = asFolder(small, 'bf16', files)
    const adapter = await made(source, 'lora', { rank: 2, targets: ['q_proj'] })
    const { sink, result, source: merged } = await written(source, [{ adapter, weight: 1 }])
    const before = await openBaseModel(source)
    const after = await openBaseModel(merged)
    expect(result.changed.map(({ name, from, to }) => [name, from, to])).toEqual(
      [0, 1].map((layer) => [`model.layers.${layer}.self_attn.q_proj.weight`, 'bf16', 'bf16']),
    )
    expect(await differing(before.weights, after.weights)).toEqual(
      result.changed.map(({ name }) => name),
    )
    for (const [name, text] of Object.entries(files))
      expect(new TextDecoder().decode(sink.files.get(name))).toBe(text)
    expect(JSON.parse(new TextDecoder().decode(sink.files.get('config.json')))).toEqual(
      small.config,
    )
    expect([...sink.files.keys()].at(-1)).toBe('config.json')
  })

  it('takes another type for all tensors, and reports it in the config', async () => {
    const source = asFolder(small)
    const adapter = await made(source, 'lora', { rank: 2, targets: ['q_proj'] })
    const { sink, source: merged } = await written(source, [{ adapter, weight: 1 }], {
      dtype: 'f16',
    })
    const { weights, config } = await openBaseModel(merged)
    expect(new Set([...weights.tensors.values()].map(({ dtype }) => dtype))).toEqual(
      new Set(['f16']),
    )
    expect(config.source).toMatchObject({ dtype: 'float16' })
    expect(config.source).not.toHaveProperty('torch_dtype')
    expect(sink.files.get('model.safetensors')!.length).toBeLessThan(200_000)
    expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(2e-2)
  })

  it.each([['embed_tokens'], ['lm_head']])(
    'of a tied model gives the head its own weight where only %s changes',
    async (target) => {
      const source = asFolder(createSmallModel({ tied: true }))
      const adapter = await made(source, 'lora', { rank: 2, targets: [target] })
      const { source: merged, result } = await written(source, [{ adapter, weight: 1 }])
      expect(result.untied).toBe(true)
      expect((await openBaseModel(merged)).config.tiedEmbeddings).toBe(false)
      expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(
        1e-4,
      )
    },
  )

  it('leaves a tied model tied where neither changes', async () => {
    const source = asFolder(createSmallModel({ tied: true }))
    const adapter = await made(source, 'lora', { rank: 2, targets: ['q_proj'] })
    const { source: merged, result } = await written(source, [{ adapter, weight: 1 }])
    expect(result.untied).toBe(false)
    expect((await openBaseModel(merged)).config.tiedEmbeddings).toBe(true)
  })
})

describe("PEFT's merged logits", () => {
  const stories = new URL('../../catalogue/models/stories260k/', import.meta.url)
  it.each([
    'lora_qv_r8',
    'lora_all_rs',
    'lora_patterns',
    'dora_r6',
    'ia3',
    'lokr',
    'more/loha',
    'more/vera',
    'more/modules_to_save',
  ])('of %s come from the written folder', async (name) => {
    const directory = new URL(`${name}/`, parity)
    const expected = await readTensors(new URL('expected.safetensors', directory))
    const inputs = expected.has('input_ids')
      ? expected
      : await readTensors(new URL('base.safetensors', parity))
    const adapter = await loadAdapter(folderAt(directory))
    const { source } = await written({ name: 'stories260k', folder: folderAt(stories) }, [
      { adapter, weight: 1 },
    ])
    const model = createModel({ base: await openBaseModel(source), backend })
    const rows = rowsOf(inputs.get('input_ids')!)
    const { data } = await model.logits(rows)
    await model.dispose()
    expect(furthest(data, expected.get('merged_logits')!.data as Float32Array)).toBeLessThan(1e-3)
  })
})

describe('into a GGUF', () => {
  it('in f32 computes what base and adapter do, and copies everything else byte for byte', async () => {
    const source = asGguf(small)
    const adapter = await made(source, 'dora', {
      rank: 4,
      targets: ['q_proj', 'k_proj', 'down_proj'],
    })
    const {
      source: merged,
      result,
      sink,
    } = await written(source, [{ adapter, weight: 1 }], { ggufName: 'out.gguf' })
    expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(1e-4)
    expect(result).toMatchObject({ format: 'gguf', untied: false })
    expect(result.changed).toHaveLength(6)
    const before = await openGguf(source.gguf)
    const after = await openGguf(createMemorySource('out', sink.files.get('out.gguf')!))
    expect(after.metadata).toEqual(before.metadata)
    expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()])
    const touched = [...before.tensors.keys()].filter((name) => /attn_[qk]|ffn_down/.test(name))
    expect(await differing(before, after)).toEqual(touched)
  })

  it.each(['q4_0', 'q4_1', 'q8_0', 'f16'] as const)(
    'keeps %s where the base has it, and reports what that rounded away',
    async (type) => {
      const source = asGguf(small, () => type)
      const adapter = await made(source, 'lora', { rank: 4, targets: ['q_proj', 'v_proj'] })
      const { source: merged, result } = await written(source, [{ adapter, weight: 1 }], {
        ggufName: 'out.gguf',
      })
      expect(result.changed.map(({ from, to }) => [from, to])).toEqual(
        Array.from({ length: 4 }, () => [type, type]),
      )
      const bound = { q4_0: 0.12, q4_1: 0.12, q8_0: 0.01, f16: 0.001 }[type]
      for (const { error } of result.changed) expect(error).toBeLessThan(bound)
      for (const { error, errorOfChange } of result.changed) {
        expect(error).toBeGreaterThan(bound / 100)
        expect(errorOfChange).toBeGreaterThan(error) // the change is smaller than the weight
        expect(errorOfChange).toBeLessThan(15 * bound)
      }
      const got = await logitsOf(merged)
      const expected = await logitsOf(source, { adapter })
      expect(furthest(got, expected)).toBeLessThan(20 * bound)
      expect(furthest(got, expected)).toBeLessThan(furthest(await logitsOf(source), expected))
    },
  )

  it('writes f16 where blocks cannot be made, and any type that is asked for', async () => {
    const blocks = new Map<string, DType>([['model.layers.0.self_attn.v_proj.weight', 'q8_0']])
    const source = asGguf(small, (name) => blocks.get(name) ?? 'f32')
    const adapter = await made(source, 'lora', { rank: 4, targets: ['v_proj'] })
    const { result, source: merged } = await written(source, [{ adapter, weight: 1 }], {
      ggufName: 'out.gguf',
      dtype: 'f32',
    })
    expect(result.changed.map(({ from, to }) => [from, to])).toEqual([
      ['q8_0', 'f32'],
      ['f32', 'f32'],
    ])
    expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(1e-4)
  })

  it('of a tied model adds the head where only one of the two changes', async () => {
    const source = asGguf(createSmallModel({ tied: true }), (name) =>
      name.includes('embed') ? 'q8_0' : 'f32',
    )
    const adapter = await made(source, 'lora', { rank: 2, targets: ['embed_tokens'] })
    const {
      source: merged,
      result,
      sink,
    } = await written(source, [{ adapter, weight: 1 }], { ggufName: 'out.gguf', dtype: 'f32' })
    expect(result.untied).toBe(true)
    const file = await openGguf(createMemorySource('out', sink.files.get('out.gguf')!))
    expect(file.tensors.get('output.weight')).toMatchObject({ type: 'q8_0' })
    expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(1e-4)
  })

  it('a quantised GGUF becomes a folder in f32 too', async () => {
    const source = asGguf(small, () => 'q4_1')
    const adapter = await made(source, 'lora', { rank: 4, targets: all })
    const { source: merged, result } = await written(source, [{ adapter, weight: 1 }])
    expect(
      result.changed.every(({ from, to }) => ['q4_1', 'f32'].includes(from) && to === 'f32'),
    ).toBe(true)
    expect(furthest(await logitsOf(merged), await logitsOf(source, { adapter }))).toBeLessThan(1e-4)
  })
})

describe('refuses, and writes nothing:', () => {
  const refused = async (
    source: BaseModelSource,
    parts: readonly WeightedAdapter[],
    options: MergeIntoBaseOptions = {},
  ): Promise<unknown> => {
    const sink = memorySink()
    const error = await mergeIntoBase(
      { source, base: await openBaseModel(source) },
      parts,
      sink,
      options,
    ).catch((thrown: unknown) => thrown)
    expect([...sink.files.keys()]).toEqual([])
    return error
  }
  it('soft prompts', async () => {
    const source = asFolder(small)
    const adapter = await made(source, 'prompt-tuning', { virtualTokens: 2 })
    const error = await refused(source, [{ adapter, weight: 1 }])
    expect(error).toBeInstanceOf(UnsupportedError)
    expect(String(error)).toContain('it changes no weight')
  })
  it('an adapter of another base', async () => {
    const adapter = await made(
      asFolder(createSmallModel({ config: { hidden_size: 32 } })),
      'lora',
      {
        rank: 4,
        targets: all,
      },
    )
    const error = await refused(asFolder(small), [{ adapter, weight: 1 }])
    expect(error).toBeInstanceOf(MismatchError)
    expect((error as MismatchError).mismatches.length).toBeGreaterThan(10)
  })
  it('NaN in the adapter or in the base', async () => {
    const source = asFolder(small)
    const adapter = await made(source, 'lora', { rank: 4, targets: ['q_proj'] })
    const key = [...adapter.tensors.keys()][2]!
    const broken = new Map(adapter.tensors).set(
      key,
      f32(adapter.tensors.get(key)!.shape, new Float32Array(4 * 64).fill(NaN)),
    )
    const error = await refused(source, [{ adapter: { ...adapter, tensors: broken }, weight: 1 }])
    expect(error).toBeInstanceOf(NumericError)
    expect(String(error)).toContain(key)
    const name = 'model.layers.1.self_attn.q_proj.weight'
    const weights = new Map(small.weights).set(
      name,
      f32([64, 64], new Float32Array(4096).fill(Infinity)),
    )
    for (const [bad, options] of [
      [asFolder({ ...small, weights }), {}],
      [asGguf({ ...small, weights }), { ggufName: 'o.gguf' }],
    ] as const) {
      const inBase = await refused(bad, [{ adapter, weight: 1 }], options)
      expect(inBase).toBeInstanceOf(NumericError)
      expect(String(inBase)).toContain(name)
    }
  })
  it('a GGUF out of a folder, blocks in a folder, a wrong recipe, adapters that name two bases', async () => {
    const source = asFolder(small)
    const adapter = await made(source, 'lora', { rank: 4, targets: ['q_proj'] })
    expect(await refused(source, [{ adapter, weight: 1 }], { ggufName: 'o.gguf' })).toBeInstanceOf(
      UnsupportedError,
    )
    expect(await refused(source, [{ adapter, weight: 1 }], { dtype: 'q8_0' })).toBeInstanceOf(
      OptionError,
    )
    expect(() =>
      resolveWeightedAdapters([adapter], { method: 'weighted', weights: [1, 2] }),
    ).toThrow('one for each of the 1 adapters')
    expect(() =>
      resolveWeightedAdapters(
        [
          { ...adapter, baseModel: 'a' },
          { ...adapter, baseModel: 'b' },
        ],
        { method: 'average' },
      ),
    ).toThrow('"b"')
  })
})
