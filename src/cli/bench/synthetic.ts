// Models of SmolLM2-135M's shape with random weights, so that benchmarks run anywhere.

import type { Adapter } from '../../adapters/index.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { random } from '../../base/random.ts'
import { f32, sizeOf, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { quants } from '../../formats/quants/quant-table.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { buildModelGraph } from '../../graph/build-model.ts'
import { collectWeightShapes } from '../../graph/model-graph.ts'
import { getArchitecture } from '../../graph/models/architecture-table.ts'

const shape = {
  model_type: 'llama',
  hidden_size: 576,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  intermediate_size: 1536,
  vocab_size: 49152,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 8192,
  rope_theta: 10000,
  hidden_act: 'silu',
}

/** Random numbers of a trained model's size (standard deviation 0.02); norms are ones. */
function generateValues(dims: readonly number[], seed: number): Float32Array {
  if (dims.length === 1) return new Float32Array(dims[0]!).fill(1)
  const { uniform } = random(seed)
  const data = new Float32Array(sizeOf(dims))
  for (let i = 0; i < data.length; i++) data[i] = (uniform() - 0.5) * 0.07
  return data
}

/** The base model; matrices in f32, or in 4-bit blocks as llama.cpp's Q4_0 and Q4_1. */
export function createSyntheticBase(dtype: 'f32' | 'q4_0' | 'q4_1'): BaseModel {
  const config = getArchitecture(shape).readConfig(shape)
  const graph = buildModelGraph(config)
  const shapes = collectWeightShapes(graph.blocks) as Map<string, readonly number[]>
  const typeOf = (dims: readonly number[]) => (dims.length > 1 ? dtype : 'f32')
  const weights: TensorStore = {
    name: `random ${dtype}`,
    metadata: {},
    tensors: new Map(
      [...shapes].map(([name, dims]) => [name, { dtype: typeOf(dims), shape: dims, sizeBytes: 0 }]),
    ),
    read: async (name): Promise<Tensor> => {
      const dims = shapes.get(name)!
      const data = generateValues(dims, name.length * 31 + [...shapes.keys()].indexOf(name))
      const type = typeOf(dims)
      if (type === 'f32') return f32(dims, data)
      const blocks = new Uint8Array((data.length / 32) * (type === 'q4_0' ? 18 : 20))
      quants[type].quantize!(data, blocks)
      return { dtype: type, shape: dims, data: blocks }
    },
    close: async () => {},
  }
  return {
    name: `SmolLM2-135M shape, random ${dtype}`,
    config,
    graph,
    weights,
    ignoredTensors: [],
    identity: async () => `synthetic-${dtype}`,
  }
}

/** Every weight in f32. */
export async function readSyntheticWeights(base: BaseModel): Promise<Map<string, F32Tensor>> {
  const weights = new Map<string, F32Tensor>()
  for (const name of base.weights.tensors.keys())
    weights.set(name, (await base.weights.read(name)) as F32Tensor)
  return weights
}

/**
 * LoRA r16 on all seven linears, B random as well, so that it does something. For DoRA `weights`
 * are the base's.
 */
export function createSyntheticAdapter(
  base: BaseModel,
  kind = 'lora',
  weights?: ReadonlyMap<string, F32Tensor>,
  { rank = 16, first = 0 }: { readonly rank?: number; readonly first?: number } = {},
): Adapter {
  const options = { seed: 1, ...(weights && { weightOf: (name: string) => weights.get(name)! }) }
  const adapter = initializeAdapter(
    kind,
    { rank, alpha: 2 * rank, targets: 'all-linear' },
    base.graph,
    options,
  )
  let seed = first
  const drawn = ([key, tensor]: [string, Tensor]): [string, Tensor] => [
    key,
    key.includes('magnitude') ? tensor : f32(tensor.shape, generateValues(tensor.shape, seed++)),
  ]
  return { ...adapter, tensors: new Map([...adapter.tensors].map(drawn)) }
}
