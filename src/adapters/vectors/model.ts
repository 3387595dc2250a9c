// A model over vectors instead of tokens: one block, for adapters that map embeddings to
// embeddings. All functions that take a model's graph (creating, checking, merging, costs, files)
// accept this one. Independent of adapter kinds and training.
//
//     y = Σ_m W_m·x     seven square layers side by side, named as in a transformer, W_m = I/7: without an adapter y = x

import { OptionError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'

export interface StandaloneModel {
  /** 'standalone-768': adapters of other widths, or of language models, name another base. */
  readonly name: string
  readonly width: number // D
  readonly graph: ModelGraph
  /** Every layer's weight, [D, D]: a share of the identity. */
  weightOf(name: string): F32Tensor
}

/** The name of the base of standalone adapters of this width. */
export const formatStandaloneBase = (width: number): string => `standalone-${width}`

/** The layers, as LoRA presets and PEFT name them. */
export const standaloneModules: readonly string[] = [
  ...['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`),
  ...['gate', 'up', 'down'].map((name) => `mlp.${name}_proj`),
]

/** A language model's configuration, as far as it applies here. */
const createConfig = (width: number): ModelConfig => ({
  modelType: 'standalone',
  vocabularySize: 0,
  width,
  feedForward: width,
  heads: 1,
  kvHeads: 1,
  headWidth: width,
  layers: [{}],
  maxPositions: 1,
  normEpsilon: 0,
  attentionBias: false,
  mlpBias: false,
  tiedEmbeddings: false,
  rope: { main: { theta: 1, width: 0 } },
  attentionScale: 1,
  attentionSoftcap: 0,
  logitSoftcap: 0,
  eosTokenIds: [],
  source: {},
})

/**
 * The model of vectors of this width. Throws OptionError for a width that is not an integer from 1.
 */
export function createStandaloneModel(width: number): StandaloneModel {
  if (!Number.isSafeInteger(width) || width < 1)
    throw new OptionError(`A standalone model's width must be an integer from 1, got ${width}.`)
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['N', 'T', width])
  const y = standaloneModules
    // [N, T, D]
    .map((name): Value => g.linear(x, g.weight(`${name}.weight`, [width, width]), name))
    .reduce((sum, value) => g.add(sum, value))
  g.output('x', y)
  let weight: F32Tensor | undefined // made only for kinds that ask for it
  return {
    name: formatStandaloneBase(width),
    width,
    graph: {
      config: createConfig(width),
      blocks: [{ kind: 'layer', prefix: 'model.layers.0.', graph: g.build() }],
    },
    weightOf: () => (weight ??= createScaledIdentity(width, 1 / standaloneModules.length)),
  }
}

function createScaledIdentity(width: number, scale: number): F32Tensor {
  const tensor = f32([width, width])
  for (let i = 0; i < width; i++) tensor.data[i * width + i] = scale
  return tensor
}
