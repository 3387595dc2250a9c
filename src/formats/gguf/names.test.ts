import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { joinBytes } from '../../base/concat.ts'
import { f32, fromBytes, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../convert.ts'
import { openGguf } from './reader.ts'
import { ggufArchitectures } from './architectures.ts'
import { toHuggingFaceStore, toHuggingFaceName, toGgufName } from './names.ts'
import type { GgufEntry } from './types.ts'
import { encodeGguf } from './writer.ts'
import { createMemorySource } from '../memory-source.ts'
import { interleaveRotaryRows } from '../rotary-rows.ts'
import { openSafetensors } from '../safetensors/reader.ts'
import type { TensorStore } from '../tensor-store.ts'

async function storeOf(
  architecture: string,
  tensors: Record<string, Tensor>,
  more: Record<string, GgufEntry> = {},
): Promise<TensorStore> {
  const metadata = new Map<string, GgufEntry>([
    ['general.architecture', { type: 'string', value: architecture }],
    ...Object.entries(more),
  ])
  const bytes = joinBytes(encodeGguf({ metadata, tensors: new Map(Object.entries(tensors)) }))
  return toHuggingFaceStore(await openGguf(createMemorySource('model.gguf', bytes)))
}

const heads = (architecture: string, query: number, key?: number): Record<string, GgufEntry> => ({
  [`${architecture}.attention.head_count`]: { type: 'u32', value: query },
  ...(key ? { [`${architecture}.attention.head_count_kv`]: { type: 'u32', value: key } } : {}),
})

/** The checkpoints of the parity set whose architecture a GGUF can hold, by ggml's name for it. */
const checkpoints = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma3: 'gemma3_text',
  phi3: 'phi3',
  smollm3: 'smollm3',
  mistral: 'mistral_sliding',
}
/** The same of test/parity/architectures_recent. */
const recent = { lfm2: 'lfm2', granite: 'granite' }
const parity = new URL('../../../test/parity/', import.meta.url)
const folders = [
  ...Object.entries(checkpoints).map(([name, one]) => [name, `architectures/${one}`] as const),
  ...Object.entries(recent).map(([name, one]) => [name, `architectures_recent/${one}`] as const),
]

describe('names', () => {
  it.each(folders)(
    '%s: every tensor of the checkpoint %s has a name, there and back',
    async (ggmlName, folder) => {
      const architecture = ggmlName === 'mistral' ? 'llama' : ggmlName
      const store = await openSafetensors(
        createMemorySource(folder, readFileSync(new URL(`${folder}/model.safetensors`, parity))),
      )
      const ggmlNames = [...store.tensors.keys()].map((name) => toGgufName(name, architecture))
      expect(ggmlNames).not.toContain(undefined)
      expect(new Set(ggmlNames).size).toBe(ggmlNames.length)
      expect(ggmlNames.map((name) => toHuggingFaceName(name!, architecture))).toEqual([
        ...store.tensors.keys(),
      ])
    },
  )

  it.each([
    ['blk.12.attn_q.weight', 'model.layers.12.self_attn.q_proj.weight', 'llama'],
    ['blk.0.attn_q.bias', 'model.layers.0.self_attn.q_proj.bias', 'qwen2'],
    ['blk.0.ffn_norm.weight', 'model.layers.0.post_attention_layernorm.weight', 'llama'],
    ['blk.0.ffn_norm.weight', 'model.layers.0.pre_feedforward_layernorm.weight', 'gemma3'],
    [
      'blk.0.post_attention_norm.weight',
      'model.layers.0.post_attention_layernorm.weight',
      'gemma3',
    ],
    ['blk.0.ffn_up.weight', 'model.layers.0.mlp.gate_up_proj.weight', 'phi3'],
    ['blk.1.shortconv.conv.weight', 'model.layers.1.conv.conv.weight', 'lfm2'],
    ['blk.1.shortconv.in_proj.weight', 'model.layers.1.conv.in_proj.weight', 'lfm2'],
    ['blk.1.attn_norm.weight', 'model.layers.1.operator_norm.weight', 'lfm2'],
    ['blk.1.attn_output.weight', 'model.layers.1.self_attn.out_proj.weight', 'lfm2'],
    ['token_embd_norm.weight', 'model.embedding_norm.weight', 'lfm2'],
    ['token_embd.weight', 'model.embed_tokens.weight', 'llama'],
    ['output.weight', 'lm_head.weight', 'llama'],
  ])('%s is %s in %s', (ggmlName, name, architecture) => {
    expect(toHuggingFaceName(ggmlName, architecture)).toBe(name)
    expect(toGgufName(name, architecture)).toBe(ggmlName)
  })

  it('modules have names without an ending', () => {
    expect(toGgufName('model.layers.3.mlp.down_proj')).toBe('blk.3.ffn_down')
    expect(toGgufName('lm_head')).toBe('output')
  })

  it.each([
    'blk.01.attn_q.weight',
    'blk.0.attn_q',
    'blk.0.toString.weight',
    'constructor.weight',
    'blk.0.attn_q.weight.lora_a',
    'output',
  ])('%s is nothing', (name) => {
    expect(toHuggingFaceName(name)).toBeUndefined()
  })

  it.each([
    'model.layers.0.mlp.experts.0.up_proj.weight',
    'model.layers.00.mlp.up_proj',
    'transformer.h.0.attn.weight',
  ])('%s has no place', (name) => {
    expect(toGgufName(name)).toBeUndefined()
  })
})

describe('ggufAsHuggingFace', () => {
  it('undoes the order of query and key rows where the architecture has one', async () => {
    const query = f32(
      [8, 2],
      Float32Array.from({ length: 16 }, (_, i) => i),
    )
    const key = f32(
      [4, 2],
      Float32Array.from({ length: 8 }, (_, i) => -i),
    )
    const bias = f32([8], [0, 1, 2, 3, 4, 5, 6, 7])
    for (const architecture of ['llama', 'smollm3']) {
      const store = await storeOf(
        architecture,
        {
          'blk.0.attn_q.weight': interleaveRotaryRows(query, 2),
          'blk.0.attn_k.weight': interleaveRotaryRows(key, 1),
          'blk.0.attn_v.weight': key,
          'blk.0.attn_q.bias': interleaveRotaryRows(bias, 2),
        },
        heads(architecture, 2, 1),
      )
      expect(await store.read('model.layers.0.self_attn.q_proj.weight')).toEqual(query)
      expect(await store.read('model.layers.0.self_attn.k_proj.weight')).toEqual(key)
      expect(await store.read('model.layers.0.self_attn.v_proj.weight')).toEqual(key)
      expect(await store.read('model.layers.0.self_attn.q_proj.bias')).toEqual(bias)
    }
    const plain = await storeOf('qwen2', { 'blk.0.attn_q.weight': query }, heads('qwen2', 2))
    expect(await plain.read('model.layers.0.self_attn.q_proj.weight')).toEqual(query)
  })

  it('keeps blocks as blocks', async () => {
    const blocks = fromBytes(
      'q4_1',
      [4, 32],
      Uint8Array.from({ length: 80 }, (_, i) => i),
    )
    const store = await storeOf('llama', { 'blk.0.attn_q.weight': blocks }, heads('llama', 1))
    expect(store.tensors.get('model.layers.0.self_attn.q_proj.weight')).toMatchObject({
      dtype: 'q4_1',
      shape: [4, 32],
      sizeBytes: 80,
    })
    const { data } = await store.read('model.layers.0.self_attn.q_proj.weight')
    expect([0, 1, 2, 3].map((row) => data[row * 20])).toEqual([0, 40, 20, 60])
  })

  it('takes head counts by layer, and the query’s where the key has none of its own', async () => {
    const key = f32([4], [0, 1, 2, 3])
    const byLayer: Record<string, GgufEntry> = {
      'llama.attention.head_count': { type: 'u32[]', value: Uint32Array.of(2, 1) },
    }
    const store = await storeOf(
      'llama',
      { 'blk.0.attn_k.bias': key, 'blk.1.attn_k.bias': key },
      byLayer,
    )
    expect([...(await store.read('model.layers.0.self_attn.k_proj.bias')).data]).toEqual([
      0, 1, 2, 3,
    ])
    expect([...(await store.read('model.layers.1.self_attn.k_proj.bias')).data]).toEqual([
      0, 2, 1, 3,
    ])
  })

  it('takes the 1 off Gemma’s norms, in any type', async () => {
    const norm: Tensor = { dtype: 'f16', shape: [2], data: Uint16Array.of(0x3c00, 0x4000) } // 1, 2
    const store = await storeOf('gemma3', {
      'output_norm.weight': norm,
      'blk.0.attn_q_norm.weight': f32([1], [1.5]),
      'token_embd.weight': f32([1, 1], [5]),
    })
    expect(store.tensors.get('model.norm.weight')).toMatchObject({
      dtype: 'f32',
      shape: [2],
      sizeBytes: 8,
    })
    expect(await store.read('model.norm.weight')).toEqual(f32([2], [0, 1]))
    expect(await store.read('model.layers.0.self_attn.q_norm.weight')).toEqual(f32([1], [0.5]))
    expect(await store.read('model.embed_tokens.weight')).toEqual(f32([1, 1], [5]))
  })

  it('leaves out what follows from the configuration', async () => {
    const store = await storeOf('llama', {
      'rope_freqs.weight': f32([1]),
      'output_norm.weight': f32([1]),
    })
    expect([...store.tensors.keys()]).toEqual(['model.norm.weight'])
  })

  it('lists all tensors that have no place', async () => {
    const opened = storeOf('llama', {
      'blk.0.ffn_gate_exps.weight': f32([1]),
      'blk.0.attn_sinks.weight': f32([1]),
    })
    await expect(opened).rejects.toThrow(UnsupportedError)
    await expect(opened).rejects.toThrow(
      /"blk.0.ffn_gate_exps.weight"\n.*"blk.0.attn_sinks.weight"/,
    )
  })

  it('names an architecture that is not known, and those that are', async () => {
    await expect(storeOf('mamba', {})).rejects.toThrow(UnsupportedError)
    await expect(storeOf('toString', {})).rejects.toThrow(
      `"toString" is not supported; supported: ${Object.keys(ggufArchitectures).join(', ')}`,
    )
    const nameless = await openGguf(
      createMemorySource(
        'model.gguf',
        joinBytes(encodeGguf({ metadata: new Map(), tensors: new Map() })),
      ),
    )
    expect(() => toHuggingFaceStore(nameless)).toThrow(FormatError)
    expect(() => toHuggingFaceStore(nameless)).toThrow(
      'model.gguf: the metadata does not say "general.architecture"',
    )
  })

  it('refuses head counts that are missing or do not fit', async () => {
    const tensors = { 'blk.0.attn_q.weight': f32([6, 1]) }
    await expect(storeOf('llama', tensors)).rejects.toThrow(
      '"blk.0.attn_q.weight": got 6 rows, expected an unknown number of heads',
    )
    await expect(storeOf('llama', tensors, heads('llama', 2))).rejects.toThrow(
      'got 6 rows, expected 2 heads',
    )
    await expect(storeOf('llama', tensors, heads('llama', 2))).rejects.toThrow(FormatError)
  })

  it('gives values, not only bytes', async () => {
    const store = await storeOf('qwen3', { 'blk.0.attn_k_norm.weight': f32([2], [3, 4]) })
    expect([...toFloat32(await store.read('model.layers.0.self_attn.k_norm.weight'))]).toEqual([
      3, 4,
    ])
  })
})
