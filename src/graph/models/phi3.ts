// Phi-3 (Abdin et al. 2024): Llama's layer with queries, keys and values in one linear layer, and
// gate and up in another.

import { UnsupportedError } from '../../base/errors.ts'
import type { Architecture } from '../architecture.ts'
import type { GraphBuilder } from '../builder.ts'
import type { Value } from '../ir.ts'
import type { ModelConfig } from '../model-config.ts'
import {
  buildAttention,
  buildEmbedding,
  buildLayer,
  buildLinear,
  buildModelHead,
  buildNorm,
  type Projections,
} from './blocks.ts'
import { type JsonObject, readCommon, toSlidingLayer, readWindow } from './read-config.ts'

function buildFusedProjections(
  g: GraphBuilder,
  x: Value,
  { heads, kvHeads, headWidth }: ModelConfig,
): Projections {
  const queries = heads * headWidth
  const keys = kvHeads * headWidth
  const fused = buildLinear(g, x, 'self_attn.qkv_proj', queries + 2 * keys) // [N, T, (H + 2K)·d]
  return {
    q: g.slice(fused, 2, 0, queries),
    k: g.slice(fused, 2, queries, queries + keys),
    v: g.slice(fused, 2, queries + keys, queries + 2 * keys),
  }
}

function buildFusedFeedForward(
  g: GraphBuilder,
  x: Value,
  { width, feedForward: inner }: ModelConfig,
): Value {
  const fused = buildLinear(g, x, 'mlp.gate_up_proj', 2 * inner) // [N, T, 2F]
  const gate = g.slice(fused, 2, 0, inner)
  const up = g.slice(fused, 2, inner, 2 * inner)
  return buildLinear(g, g.multiply(up, g.silu(gate)), 'mlp.down_proj', width)
}

/**
 * Phi-3's files say "su" or "yarn" for longrope, and may leave out the original context. Without
 * its lists, "yarn" is the scaling of that name.
 */
function normalizeScaling(json: JsonObject): JsonObject {
  const scaling = (json.rope_scaling ?? json.rope_parameters ?? {}) as JsonObject
  if (!Array.isArray(scaling.short_factor)) return json
  const type = scaling.rope_type ?? scaling.type
  return {
    ...json,
    original_max_position_embeddings: json.original_max_position_embeddings ?? 4096,
    rope_scaling: { ...scaling, rope_type: type === 'yarn' ? 'longrope' : type },
  }
}

export const phi3: Architecture = {
  modelType: 'phi3',
  readConfig(json) {
    const common = readCommon(normalizeScaling(json), { maxPositions: 4096, normEpsilon: 1e-5 })
    const scaling = common.rope.main.scaling
    if (scaling && scaling.type !== 'longrope')
      throw new UnsupportedError(
        `config.json of a phi3 model: RoPE scaling "${scaling.type}" is not supported; supported: longrope.`,
      )
    return { ...common, layers: common.layers.map(() => toSlidingLayer(readWindow(json))) }
  },
  embed: buildEmbedding,
  layer: (config, layer) =>
    buildLayer(
      config,
      (g, x) =>
        buildAttention(
          g,
          buildFusedProjections(g, buildNorm(g, x, 'input_layernorm', config), config),
          config,
          layer,
        ),
      (g, x) =>
        buildFusedFeedForward(g, buildNorm(g, x, 'post_attention_layernorm', config), config),
    ),
  head: buildModelHead,
}
