// Ministral 3 (Mistral AI 2025): Mistral's layer, whose queries are scaled up with their position
// beyond the original context.

import type { Architecture } from '../architecture.ts'
import type { GraphBuilder } from '../builder.ts'
import type { Value } from '../ir.ts'
import type { ModelConfig } from '../model-config.ts'
import {
  buildAttention,
  buildEmbedding,
  buildFeedForward,
  buildLayer,
  buildModelHead,
  buildNorm,
  buildProjections,
} from './blocks.ts'
import {
  type JsonObject,
  readCommon,
  readNumber,
  readWindow,
  toSlidingLayer,
} from './read-config.ts'

/** The rotary parameters that transformers assumes if a file has none. */
const defaultRope: JsonObject = {
  type: 'yarn',
  rope_theta: 1_000_000,
  factor: 16,
  original_max_position_embeddings: 16_384,
  beta_fast: 32,
  beta_slow: 1,
  mscale_all_dim: 1,
  mscale: 1,
  llama_4_scaling_beta: 0.1,
}

const getRope = (json: JsonObject): JsonObject =>
  (json.rope_parameters ?? json.rope_scaling ?? defaultRope) as JsonObject

/** q · (1 + β·ln(1 + ⌊position / original⌋)) */
function buildGrowth(g: GraphBuilder, q: Value, { source, maxPositions }: ModelConfig): Value {
  const rope = getRope(source)
  const beta = readNumber(rope, 'llama_4_scaling_beta') ?? 0
  if (beta === 0) return q
  const original = readNumber(rope, 'original_max_position_embeddings') ?? maxPositions
  const positions = g.input('positions', 'i64', ['N', 'T'])
  return g.multiply(q, g.op('positionGrowth', [positions], { beta, original }))
}

export const ministral3: Architecture = {
  modelType: 'ministral3',
  readConfig(json) {
    const rope = { ...json, rope_scaling: undefined, rope_parameters: getRope(json) }
    const common = readCommon(rope, {
      kvHeads: 8,
      headWidth: 128,
      maxPositions: 262_144,
      normEpsilon: 1e-5,
      theta: 1_000_000,
    })
    return {
      ...common,
      layers: common.layers.map(() => toSlidingLayer(readWindow(json))),
      source: json,
    }
  },
  embed: buildEmbedding,
  layer: (config, layer) =>
    buildLayer(
      config,
      (g, x) => {
        const normed = buildNorm(g, x, 'input_layernorm', config)
        const { q, k, v } = buildProjections(g, normed, config)
        return buildAttention(g, { q: buildGrowth(g, q, config), k, v }, config, layer)
      },
      (g, x) => buildFeedForward(g, buildNorm(g, x, 'post_attention_layernorm', config), config),
    ),
  head: buildModelHead,
}
