import { beforeAll, describe, expect, it } from 'vitest'
import { FormatError, MismatchError, UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import type { GgufEntry } from '../../formats/gguf/types.ts'
import { encodeGguf } from '../../formats/gguf/writer.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import type { Adapter } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { attach } from '../attach.ts'
import {
  type Base,
  feedsWith,
  folderAt,
  furthest,
  logitsOf,
  parity,
  qwen2Base,
  storiesBase,
} from '../../../test/support/adapters.ts'
import { encodeGgufAdapter, loadGgufAdapter } from './gguf.ts'
import { loadAdapter } from './peft.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

const ids = [[1, 40, 9, 222, 7]]
const parityAdapter = (name: string): Promise<Adapter> =>
  loadAdapter(folderAt(new URL(`${name}/`, parity)))
const sourceOf = async (chunks: Iterable<Uint8Array>) =>
  createMemorySource(
    'adapter.gguf',
    new Uint8Array(await new Blob([...chunks] as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
  )
const logits = (one: Base, adapter: Adapter): Promise<Float32Array> => {
  const model = attach(one.model, adapter)
  return logitsOf(model, feedsWith(one, model, adapter, { ids }))
}

describe('adapters in GGUF', () => {
  it.each(['lora_patterns', 'lora_all_rs', 'lokr_both', 'more/loha', 'more/vera'])(
    'hold %s, scales and order of rows included',
    async (name) => {
      const adapter = await parityAdapter(name)
      const read = await loadGgufAdapter(
        await sourceOf(encodeGgufAdapter(adapter, base.model)),
        base.model,
      )
      expect(read.kind).toBe('lora')
      expect(furthest(await logits(base, read), await logits(base, adapter))).toBeLessThan(1e-3)
    },
  )

  it('keep the metadata and the name of the base', async () => {
    const adapter = await parityAdapter('lora_qv_r8')
    const metadata = { name: 'coder', description: 'code', tags: 'a b', data_sha256: 'aaa' }
    const given = { ...adapter, metadata, baseModel: 'owner/base' }
    const read = await loadGgufAdapter(
      await sourceOf(encodeGgufAdapter(given, base.model)),
      base.model,
    )
    expect(read).toMatchObject({ metadata, baseModel: 'owner/base' })
    const { metadata: _, baseModel: __, ...bare } = adapter
    const plain = await loadGgufAdapter(
      await sourceOf(encodeGgufAdapter(bare, base.model)),
      base.model,
    )
    expect([plain.metadata, plain.baseModel]).toEqual([undefined, undefined])
  })

  it('have the names and the order that llama.cpp has', async () => {
    const adapter = await parityAdapter('lora_qv_r8')
    const file = await openGguf(await sourceOf(encodeGgufAdapter(adapter, base.model)))
    expect(Object.fromEntries(file.metadata)).toEqual({
      'general.type': 'adapter',
      'general.base_model.count': 1,
      'general.base_model.0.name': 'stories260k',
      'general.architecture': 'llama',
      'adapter.type': 'lora',
      'adapter.lora.alpha': 16,
    })
    expect([...file.tensors].slice(0, 4).map(([name, { shape }]) => [name, shape])).toEqual([
      ['blk.0.attn_q.weight.lora_a', [8, 64]],
      ['blk.0.attn_q.weight.lora_b', [64, 8]],
      ['blk.0.attn_v.weight.lora_a', [8, 64]],
      ['blk.0.attn_v.weight.lora_b', [32, 8]],
    ])
    const own = (part: string) =>
      adapter.tensors.get(`base_model.model.model.layers.0.self_attn.${part}.weight`)!
        .data as Float32Array
    const q = await file.read('blk.0.attn_q.weight.lora_b')
    const v = await file.read('blk.0.attn_v.weight.lora_b')
    // A head has 8 rows here: llama.cpp's row 1 is the half-split row 4, row 2 is row 1.
    const row = (values: Float32Array, r: number): number[] => [
      ...values.subarray(r * 8, (r + 1) * 8),
    ]
    expect(row(q.data as Float32Array, 1)).toEqual(row(own('q_proj.lora_B'), 4))
    expect(row(q.data as Float32Array, 2)).toEqual(row(own('q_proj.lora_B'), 1))
    expect(v.data).toEqual(own('v_proj.lora_B'))
    expect((await file.read('blk.0.attn_q.weight.lora_a')).data).toEqual(own('q_proj.lora_A'))
  })

  it('keep the order of rows where llama.cpp turns halves, and become 16 bits wide when asked to', async () => {
    const qwen2 = await qwen2Base()
    const adapter = initializeAdapter(
      'lora',
      { rank: 2, targets: ['q_proj', 'down_proj'], start: 'random' },
      qwen2.model,
      { seed: 1 },
    )
    const file = await openGguf(await sourceOf(encodeGgufAdapter(adapter, qwen2.model)))
    expect((await file.read('blk.0.attn_q.weight.lora_b')).data).toEqual(
      adapter.tensors.get('base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight')!.data,
    )
    const source = await sourceOf(encodeGgufAdapter(adapter, qwen2.model, { dtype: 'f16' }))
    const read = await loadGgufAdapter(source, qwen2.model)
    expect([...read.tensors.values()].every(({ dtype }) => dtype === 'f16')).toBe(true)
    expect(read.config.targets).toEqual(['q_proj', 'down_proj'])
    expect(furthest(await logits(qwen2, read), await logits(qwen2, adapter))).toBeLessThan(0.05)
  })

  it('name single modules by whole paths, with ranks of their own', async () => {
    const options = {
      rank: 3,
      targets: ['q_proj', 'up_proj'],
      layers: [1, 2],
      rankPattern: { up_proj: 2 },
      start: 'random',
    }
    const adapter = initializeAdapter('lora', options, base.model, { seed: 4 })
    const read = await loadGgufAdapter(
      await sourceOf(encodeGgufAdapter(adapter, base.model)),
      base.model,
    )
    expect(read.config.targets).toEqual(
      [1, 2].flatMap((n) => [
        `model.layers.${n}.self_attn.q_proj`,
        `model.layers.${n}.mlp.up_proj`,
      ]),
    )
    expect(furthest(await logits(base, read), await logits(base, adapter))).toBeLessThan(1e-3)
  })

  it('hold a head and an embedding where they are two weights, and are refused by name where they are one', async () => {
    const adapter = await parityAdapter('lora_extra/embed_head')
    const untied = { ...base.model, config: { ...base.model.config, tiedEmbeddings: false } }
    const read = await loadGgufAdapter(await sourceOf(encodeGgufAdapter(adapter, untied)), untied)
    expect(furthest(await logits(base, read), await logits(base, adapter))).toBeLessThan(1e-3)
    expect(() => encodeGgufAdapter(adapter, base.model)).toThrow(
      /embed_tokens: the head and the embedding share[^]*lm_head: the head/,
    )
  })

  it('are refused in plain words where a module is saved whole', () => {
    const config = { targets: ['q_proj'], modulesToSave: ['lm_head'] }
    const adapter = initializeAdapter('lora', config, base.model, { weightOf: base.weightOf })
    expect(() => encodeGgufAdapter(adapter, base.model)).toThrow(
      'A GGUF adapter cannot hold:\n  lm_head: its weight is saved whole\n' +
        'It has only two low-rank matrices for each layer. Merge the adapter into its base and convert that model instead.',
    )
  })

  it('hold an alpha of 0 as no change', async () => {
    const given = initializeAdapter('lora', { start: 'random' }, base.model)
    const adapter = { ...given, config: { ...given.config, alpha: 0 } }
    const read = await loadGgufAdapter(
      await sourceOf(encodeGgufAdapter(adapter, base.model)),
      base.model,
    )
    expect(furthest(await logits(base, read), await logits(base, adapter))).toBe(0)
  })

  it('keep the tokens that activate them', async () => {
    const adapter = await parityAdapter('alora/span')
    const read = await loadGgufAdapter(
      await sourceOf(encodeGgufAdapter(adapter, base.model)),
      base.model,
    )
    expect(read.config.invocationTokens).toEqual([17, 44, 17])
    expect(furthest(await logits(base, read), await logits(base, adapter))).toBeLessThan(1e-3)
  })

  it('refuse what two matrices a layer do not hold', async () => {
    const { weightOf } = base
    expect(() =>
      encodeGgufAdapter(initializeAdapter('ia3', {}, base.model, { seed: 1 }), base.model),
    ).toThrow('k_proj: more than two matrices')
    const dora = await parityAdapter('dora_r6')
    expect(() => encodeGgufAdapter(dora, base.model, { weightOf })).toThrow(
      'q_proj: more than two matrices',
    )
    expect(() =>
      encodeGgufAdapter(
        initializeAdapter('prompt-tuning', {}, base.model, { seed: 1 }),
        base.model,
      ),
    ).toThrow(UnsupportedError)
  })
})

describe('loadGgufAdapter', () => {
  const metadata = (changes: Readonly<Record<string, GgufEntry>> = {}): Map<string, GgufEntry> =>
    new Map<string, GgufEntry>([
      ['general.type', { type: 'string', value: 'adapter' }],
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['adapter.type', { type: 'string', value: 'lora' }],
      ['adapter.lora.alpha', { type: 'f32', value: 4 }],
      ...Object.entries(changes),
    ])
  const pair = (
    name: string,
    a: Tensor = f32([2, 64]),
    b: Tensor = f32([32, 2]),
  ): [string, Tensor][] => [
    [`${name}.weight.lora_a`, a],
    [`${name}.weight.lora_b`, b],
  ]
  const load = async (
    tensors: [string, Tensor][],
    changes: Readonly<Record<string, GgufEntry>> = {},
  ): Promise<Adapter> =>
    loadGgufAdapter(
      await sourceOf(encodeGguf({ metadata: metadata(changes), tensors: new Map(tensors) })),
      base.model,
    )

  it('scales as llama.cpp does: alpha over each rank, and not at all without an alpha', async () => {
    const two = pair('blk.0.attn_v')
    const three = pair('blk.1.attn_v', f32([3, 64]), f32([32, 3]))
    const more = pair('blk.2.attn_v')
    expect((await load([...two, ...three, ...more])).config).toMatchObject({
      rank: 2,
      alpha: 4,
      rankPattern: { '^model\\.layers\\.1\\.self_attn\\.v_proj': 3 },
    })
    expect(
      (await load([...two, ...three, ...more], { 'adapter.lora.alpha': { type: 'f32', value: 0 } }))
        .config,
    ).toMatchObject({
      alpha: 2,
      alphaPattern: { '^model\\.layers\\.1\\.self_attn\\.v_proj': 3 },
    })
  })

  it('reports everything that is wrong with the metadata, the names and the shapes', async () => {
    const text = (value: string): GgufEntry => ({ type: 'string', value })
    await expect(
      load([], { 'general.type': text('model'), 'general.architecture': text('qwen2') }),
    ).rejects.toThrow(
      /general\.type: got "model", expected "adapter"\s+general\.architecture: got "qwen2", expected "llama"/,
    )
    await expect(
      load([], { 'adapter.alora.invocation_tokens': { type: 'u32', value: 1 } }),
    ).rejects.toThrow('invocation_tokens: got 1, expected a list of token ids')
    await expect(
      load([...pair('blk.9.attn_v'), ['blk.0.attn_v.weight', f32([1])]]),
    ).rejects.toThrow(
      /blk\.9\.attn_v\.weight\.lora_a\s+blk\.9\.attn_v\.weight\.lora_b\s+blk\.0\.attn_v\.weight/,
    )
    await expect(load(pair('blk.0.attn_v').slice(1))).rejects.toThrow(FormatError)
    await expect(load(pair('blk.0.attn_v', f32([2, 63])))).rejects.toThrow(MismatchError)
  })
})

describe('a GGUF adapter that is wrong in one place', () => {
  const parts = async () => {
    const file = await openGguf(
      await sourceOf(encodeGgufAdapter(await parityAdapter('lora_qv_r8'), base.model)),
    )
    const tensors = new Map<string, Tensor>()
    for (const name of file.tensors.keys()) tensors.set(name, await file.read(name))
    const metadata = new Map<string, GgufEntry>([
      ['general.type', { type: 'string', value: 'adapter' }],
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['adapter.type', { type: 'string', value: 'lora' }],
    ])
    return { metadata, tensors }
  }
  const load = async (given: Awaited<ReturnType<typeof parts>>) =>
    loadGgufAdapter(await sourceOf(encodeGguf(given)), base.model)

  it.each([
    { type: 'string' as const, value: '4' },
    { type: 'f32' as const, value: NaN },
  ])('names an alpha that is not a number: %j', async (alpha) => {
    const { metadata, tensors } = await parts()
    await expect(
      load({ metadata: metadata.set('adapter.lora.alpha', alpha), tensors }),
    ).rejects.toThrow('adapter.lora.alpha: got ')
  })
  it.each([[(size: number) => [size]], [(size: number) => [size / 2, 2]]])(
    'names a matrix of another shape',
    async (shapeOf) => {
      const { metadata, tensors } = await parts()
      const key = [...tensors.keys()].find((name) => name.endsWith('attn_q.weight.lora_b'))!
      const { data } = tensors.get(key)!
      tensors.set(key, f32(shapeOf(data.length), data as Float32Array))
      await expect(load({ metadata, tensors })).rejects.toThrow(/lora_[bB]/)
    },
  )
})
