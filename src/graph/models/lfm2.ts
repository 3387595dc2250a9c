// LFM2 (Liquid AI 2025): most layers mix neighbouring tokens by a short gated convolution, the
// others by grouped-query attention with normalised heads.

import type { Architecture } from '../architecture.ts'
import type { GraphBuilder } from '../builder.ts'
import type { Value } from '../ir.ts'
import type { LayerConfig, ModelConfig } from '../model-config.ts'
import {
  buildAttention,
  buildEmbedding,
  buildFeedForward,
  buildLayer,
  buildLinear,
  buildModelHead,
  buildNorm,
  buildProjections,
} from './blocks.ts'
import {
  type JsonObject,
  readCommon,
  readFlag,
  readLayerTypes,
  readNumber,
  readSize,
} from './read-config.ts'

const names = { gate: 'feed_forward.w1', up: 'feed_forward.w3', down: 'feed_forward.w2' }

/** The width that transformers computes from the configured one: 2/3 of it, rounded up. */
function readFeedForward(json: JsonObject): number {
  const named = readSize(json, 'block_ff_dim', readNumber(json, 'intermediate_size'))
  if (!readFlag(json, 'block_auto_adjust_ff_dim', true)) return named
  const inner = Math.floor((2 * named) / 3)
  if (json.block_ffn_dim_multiplier === null) return inner
  const multiple = readSize(json, 'block_multiple_of', 256)
  const factor = readNumber(json, 'block_ffn_dim_multiplier') ?? 1
  return multiple * Math.ceil(Math.floor(factor * inner) / multiple)
}

const attending: LayerConfig = { rope: 'main' }
const convolving: LayerConfig = { mixer: 'convolution' }

/**
 * From `layer_types`, or from `full_attn_idxs` of older files; if both are missing, all layers have
 * attention.
 */
function readLayers(json: JsonObject, count: number): LayerConfig[] {
  const { full_attn_idxs: indices } = json
  const known = { full_attention: attending, conv: convolving }
  return readLayerTypes(json, count, known, (layer) =>
    !Array.isArray(indices) || indices.includes(layer) ? 'full_attention' : 'conv',
  )
}

/** out((C ⊙ conv(B ⊙ x))), where B, C and x are the thirds of in(x): [N, T, D] → [N, T, D] */
function buildShortConvolution(
  g: GraphBuilder,
  x: Value,
  { width, convolution }: ModelConfig,
): Value {
  const { kernel, bias = false } = convolution!
  const thirds = buildLinear(g, x, 'conv.in_proj', 3 * width, bias) // [N, T, 3D]
  const [inner, outer, value] = [0, 1, 2].map((i) =>
    g.slice(thirds, 2, i * width, (i + 1) * width),
  ) as [Value, Value, Value]
  const mixed = g.op('causalConvolution', [
    g.multiply(inner, value),
    g.weight('conv.conv.weight', [width, 1, kernel]),
    g.input('positions', 'i64', ['N', 'T']),
  ])
  const shifted = bias ? g.add(mixed, g.weight('conv.conv.bias', [width])) : mixed
  return buildLinear(g, g.multiply(outer, shifted), 'conv.out_proj', width, bias)
}

export const lfm2: Architecture = {
  modelType: 'lfm2',
  readConfig(json) {
    const feedForward = readFeedForward(json)
    const common = readCommon(
      { ...json, intermediate_size: feedForward },
      {
        kvHeads: 8,
        maxPositions: 128_000,
        tiedEmbeddings: true,
        theta: 1_000_000,
      },
    )
    return {
      ...common,
      tiedEmbeddings: readFlag(json, 'tie_embedding', common.tiedEmbeddings),
      source: json,
      normEpsilon: readNumber(json, 'norm_eps') ?? 1e-5,
      layers: readLayers(json, common.layers.length),
      convolution: {
        width: common.width,
        kernel: readSize(json, 'conv_L_cache', 3),
        bias: readFlag(json, 'conv_bias', false),
      },
    }
  },
  embed: buildEmbedding,
  layer: (config, layer) =>
    buildLayer(
      config,
      (g, x) => {
        const normed = buildNorm(g, x, 'operator_norm', config)
        if (layer.mixer === 'convolution') return buildShortConvolution(g, normed, config)
        const form = { headNorms: true, headNormName: 'layernorm' }
        const projections = buildProjections(g, normed, config, form)
        return buildAttention(g, projections, config, layer, { name: 'out_proj' })
      },
      (g, x) => buildFeedForward(g, buildNorm(g, x, 'ffn_norm', config), config, 'silu', names),
    ),
  head: (config) => buildModelHead(config, { norm: 'model.embedding_norm' }),
}
