// Small random Llama models for the tests of merging into a base: as a folder in memory and as a
// GGUF, with weights in any type.

import { f32, type F32Tensor } from '../base/tensor.ts'
import type { DType } from '../base/dtype.ts'
import { joinBytes } from '../base/concat.ts'
import { random } from '../base/random.ts'
import type { ByteFolder } from '../formats/byte-source.ts'
import { encodeAsDtype, hasWholeBlocks } from '../formats/encode-dtype.ts'
import { toGgufName } from '../formats/gguf/names.ts'
import type { GgufEntry } from '../formats/gguf/types.ts'
import { encodeGguf } from '../formats/gguf/writer.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { interleaveRotaryRows } from '../formats/rotary-rows.ts'
import type { BaseModelSource } from '../graph/base-model.ts'
import { buildModelGraph } from '../graph/build-model.ts'
import { collectWeightShapes } from '../graph/model-graph.ts'
import { getArchitecture } from '../graph/models/architecture-table.ts'
import { memoryFolder, normal } from '../graph/testing.ts'

const heads = 4
const kvHeads = 2
const vocabulary = 80

const createConfig = (tied: boolean, changes: object) => ({
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  head_dim: 16,
  vocab_size: vocabulary,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  hidden_act: 'silu',
  tie_word_embeddings: tied,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  torch_dtype: 'float32',
  ...changes,
})

export interface SmallModel {
  readonly config: Readonly<Record<string, unknown>>
  readonly weights: ReadonlyMap<string, F32Tensor>
}

/** Random weights that give logits of about 1; norms near 1. */
export function createSmallModel({
  seed = 1,
  tied = false,
  config: changes = {},
} = {}): SmallModel {
  const config = createConfig(tied, changes)
  const graph = buildModelGraph(getArchitecture(config).readConfig(config))
  const weights = new Map<string, F32Tensor>()
  const generator = random(seed)
  for (const [name, dims] of collectWeightShapes(graph.blocks)) {
    const values = normal(generator, dims as number[], 0.15)
    weights.set(
      name,
      name.includes('norm')
        ? f32(
            values.shape,
            values.data.map((value) => 1 + value),
          )
        : values,
    )
  }
  return { config, weights }
}

/** With the element type of every tensor, default f32, and further files. */
export function asFolder(
  { config, weights }: SmallModel,
  dtype: DType = 'f32',
  files: Readonly<Record<string, string>> = {},
) {
  const tensors = new Map(
    [...weights].map(([name, tensor]) => [name, encodeAsDtype(name, tensor, dtype)]),
  )
  const folder: ByteFolder = memoryFolder(
    'small',
    { 'config.json': JSON.stringify(config), ...files },
    tensors,
  )
  return { name: 'small', folder } satisfies BaseModelSource
}

/** Matrices whose rows are whole blocks have the type of `typeOf`; everything else is f32. */
export function asGguf(
  { config, weights }: SmallModel,
  typeOf: (name: string) => DType = () => 'f32',
) {
  const number = (type: 'u32' | 'f32', value: unknown): GgufEntry => ({
    type,
    value: value as number,
  })
  const metadata = new Map<string, GgufEntry>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['general.name', { type: 'string', value: 'small' }],
    ['llama.embedding_length', number('u32', config['hidden_size'])],
    ['llama.feed_forward_length', number('u32', config['intermediate_size'])],
    ['llama.block_count', number('u32', config['num_hidden_layers'])],
    ['llama.attention.head_count', number('u32', heads)],
    ['llama.attention.head_count_kv', number('u32', kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', number('f32', config['rms_norm_eps'])],
    ['llama.context_length', number('u32', config['max_position_embeddings'])],
    ['llama.rope.freq_base', number('f32', config['rope_theta'])],
    ['llama.vocab_size', number('u32', vocabulary)],
  ])
  const tensors = new Map(
    [...weights].map(([name, tensor]) => {
      const wanted = typeOf(name)
      const dtype =
        tensor.shape.length === 2 && hasWholeBlocks(wanted, tensor.shape) ? wanted : 'f32'
      const rows = name.endsWith('q_proj.weight')
        ? heads
        : name.endsWith('k_proj.weight')
          ? kvHeads
          : undefined
      const inFile = rows === undefined ? tensor : (interleaveRotaryRows(tensor, rows) as F32Tensor)
      return [toGgufName(name)!, encodeAsDtype(name, inFile, dtype)] as const
    }),
  )
  const bytes = joinBytes(encodeGguf({ metadata, tensors }))
  return {
    name: 'small',
    gguf: createMemorySource('small.gguf', bytes),
    bytes,
  } satisfies BaseModelSource & { bytes: Uint8Array }
}
