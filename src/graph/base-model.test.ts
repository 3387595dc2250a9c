import { describe, expect, it } from 'vitest'
import { FormatError, NotFoundError, NumericError, UnsupportedError } from '../base/errors.ts'
import { joinBytes } from '../base/concat.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import type { GgufEntry } from '../formats/gguf/types.ts'
import { encodeGguf, type GgufContent } from '../formats/gguf/writer.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { interleaveRotaryRows } from '../formats/rotary-rows.ts'
import { toGgufName } from '../formats/gguf/names.ts'
import { type OpenOptions, openBaseModel, type BaseModel } from './base-model.ts'
import { buildModelGraph } from './build-model.ts'
import { computeServedIdentity } from './model-identity.ts'
import { randomModelWeights, tinySizes } from './models/architecture.contract.ts'
import { llama } from './models/llama.ts'
import { readWeights } from './read-weights.ts'
import { memoryFolder } from './testing.ts'

const json = {
  ...tinySizes,
  model_type: 'llama',
  num_hidden_layers: 2,
  bos_token_id: 1,
  eos_token_id: 2,
  tie_word_embeddings: true,
}
const weights = randomModelWeights(buildModelGraph(llama.readConfig(json)), 9)

const open = (
  files: Record<string, string> = {},
  tensors: ReadonlyMap<string, Tensor> = weights,
  options?: OpenOptions,
): Promise<BaseModel> =>
  openBaseModel(
    {
      name: 'tiny',
      folder: memoryFolder('tiny', { 'config.json': JSON.stringify(json), ...files }, tensors),
    },
    options,
  )

describe('a model folder', () => {
  it('opens with config, graph and weights alone', async () => {
    const base = await open()
    expect(base.config).toMatchObject({
      modelType: 'llama',
      width: 16,
      eosTokenIds: [2],
      bosTokenId: 1,
    })
    expect(base.graph.blocks).toHaveLength(4)
    expect([base.tokenizer, base.chatTemplate, base.generation]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })
  it('takes tokenizer, chat template and generation settings where they are', async () => {
    const tokenizer = {
      model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']] },
      added_tokens: [],
    }
    const base = await open({
      'tokenizer.json': JSON.stringify(tokenizer),
      'tokenizer_config.json': JSON.stringify({ chat_template: 'in the config' }),
      'chat_template.jinja': 'in a file',
      'generation_config.json': JSON.stringify({ eos_token_id: [2, 7] }),
    })
    expect(base.tokenizer?.encode('ab')).toEqual([2])
    expect(base.chatTemplate).toBe('in a file')
    expect(base.config.eosTokenIds).toEqual([2, 7])
    expect(base.generation).toEqual({ eos_token_id: [2, 7] })
  })
  it('takes special tokens from special_tokens_map.json too', async () => {
    const base = await open({
      'tokenizer.json': '{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}}',
      'tokenizer_config.json': '{"eos_token":"a"}',
      'special_tokens_map.json': '{"pad_token":{"content":"b"}}',
    })
    expect(base.tokenizer?.specialTokens).toEqual({ eos_token: 'a', pad_token: 'b' })
    expect(base.tokenizer?.padId).toBe(1)
  })
  it('may hold the copy of a tied head', async () => {
    const base = await open(
      {},
      new Map([...weights, ['lm_head.weight', weights.get('model.embed_tokens.weight')!]]),
    )
    expect(base.ignoredTensors).toEqual(['lm_head.weight'])
  })
  it('is refused without a config, with a broken one, without weights, and for an unknown architecture', async () => {
    const folder = (files: Record<string, string>) =>
      openBaseModel({ name: 'tiny', folder: memoryFolder('tiny', files) })
    await expect(folder({})).rejects.toThrow(NotFoundError)
    await expect(folder({ 'config.json': '{' })).rejects.toThrow('tiny: config.json is not JSON')
    await expect(folder({ 'config.json': '[]' })).rejects.toThrow(FormatError)
    await expect(folder({ 'config.json': JSON.stringify(json) })).rejects.toThrow(
      'contains no weights',
    )
    await expect(folder({ 'config.json': '{"model_type":"mamba"}' })).rejects.toThrow(
      UnsupportedError,
    )
  })
})

it('a source without bytes is refused, with the layouts there are', async () => {
  await expect(openBaseModel({ name: 'tiny' } as never)).rejects.toThrow(
    'Model "tiny": the source has no bytes, expected folder or gguf.',
  )
})

describe('identity', () => {
  const changed = (name: string, at: number): Map<string, Tensor> => {
    const tensor = weights.get(name)!
    const data = Float32Array.from(tensor.data as Float32Array)
    data[at]! += 1
    return new Map([...weights, [name, f32(tensor.shape, data)]])
  }
  it('is the same for the same model, whatever its name and its tokens', async () => {
    const one = await (await open()).identity()
    expect(one).toMatch(/^[0-9a-f]{64}$/)
    expect(await (await open({ 'generation_config.json': '{"eos_token_id": 5}' })).identity()).toBe(
      one,
    )
    expect(await (await open({}, new Map([...weights].reverse()))).identity()).toBe(one)
  })
  it('is that of the model whatever scaling is chosen, which cached keys depend on', async () => {
    const one = await open()
    const scaled = await open({}, weights, { ropeScaling: { type: 'yarn', factor: 4 } })
    expect(await scaled.identity()).toBe(await one.identity())
    expect(await computeServedIdentity(one)).toBe(await one.identity())
    expect(await computeServedIdentity(scaled)).not.toBe(await one.identity())
  })
  it('changes with any weight, and with a config that computes something else', async () => {
    const one = await (await open()).identity()
    expect(await (await open({}, changed('model.norm.weight', 15))).identity()).not.toBe(one)
    expect(
      await (await open({}, changed('model.layers.1.mlp.up_proj.weight', 100))).identity(),
    ).not.toBe(one)
    expect(
      await (await open({ 'config.json': JSON.stringify({ ...json, rope_theta: 5 }) })).identity(),
    ).not.toBe(one)
  })
})

describe('readWeights', () => {
  it('gives all weights that the graph reads as f32, and reports how far it is', async () => {
    const progress: string[] = []
    const read = await readWeights(await open(), undefined, {
      onProgress: ({ done, total }) => progress.push(`${done}/${total}`),
    })
    expect([...read.keys()].sort()).toEqual([...weights.keys()].sort())
    expect(read.get('model.norm.weight')!.data).toEqual(weights.get('model.norm.weight')!.data)
    expect(progress.at(-1)).toBe(`${weights.size}/${weights.size}`)
  })
  it('gives only the names asked for', async () => {
    expect([...(await readWeights(await open(), ['model.norm.weight'])).keys()]).toEqual([
      'model.norm.weight',
    ])
  })
  it.each([NaN, Infinity, -Infinity])('refuses %d, naming tensor and place', async (value) => {
    const base = await open(
      {},
      new Map([
        ...weights,
        ['model.norm.weight', f32([16], new Float32Array(16).fill(value, 5, 6))],
      ]),
    )
    const read = readWeights(base)
    await expect(read).rejects.toThrow(NumericError)
    await expect(read).rejects.toThrow(`Tensor "model.norm.weight": value 5 of 16 is ${value}`)
  })
})

describe('a GGUF file', () => {
  const entries: [string, GgufEntry][] = [
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.embedding_length', { type: 'u32', value: 16 }],
    ['llama.feed_forward_length', { type: 'u32', value: 24 }],
    ['llama.block_count', { type: 'u32', value: 2 }],
    ['llama.attention.head_count', { type: 'u32', value: 4 }],
    ['llama.attention.head_count_kv', { type: 'u32', value: 2 }],
    ['llama.attention.key_length', { type: 'u32', value: 6 }],
    ['llama.attention.value_length', { type: 'u32', value: 6 }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['llama.context_length', { type: 'u32', value: 32 }],
    ['llama.vocab_size', { type: 'u32', value: 19 }],
  ]
  const inGguf = (name: string, tensor: Tensor): Tensor => {
    const heads = name.includes('q_proj') ? 4 : name.includes('k_proj') ? 2 : 0
    return heads ? interleaveRotaryRows(tensor, heads) : tensor
  }
  const tensors = new Map(
    [...weights].map(([name, tensor]) => [toGgufName(name)!, inGguf(name, tensor)]),
  )
  const bytes = (content: Partial<GgufContent> = {}) =>
    joinBytes(encodeGguf({ metadata: new Map(entries), tensors, ...content }))

  it('opens as the same model: config from the metadata, tensors by their Hugging Face names', async () => {
    const base = await openBaseModel({
      name: 'tiny',
      gguf: createMemorySource('tiny.gguf', bytes()),
    })
    expect(base.config).toMatchObject({
      modelType: 'llama',
      headWidth: 6,
      tiedEmbeddings: true,
      normEpsilon: 1e-5,
    })
    expect(base.tokenizer).toBeUndefined()
    const read = await readWeights(base)
    for (const [name, { data }] of weights) expect(read.get(name)!.data).toEqual(data)
  })
  it('closes the file and reports what is missing where tensors are', async () => {
    const some = new Map(tensors)
    some.delete('blk.1.ffn_up.weight')
    let closed = 0
    const source = {
      ...createMemorySource('tiny.gguf', bytes({ tensors: some })),
      close: async () => void closed++,
    }
    await expect(openBaseModel({ name: 'tiny', gguf: source })).rejects.toThrow(
      'model.layers.1.mlp.up_proj.weight',
    )
    expect(closed).toBe(1)
  })
})
