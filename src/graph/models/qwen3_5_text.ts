// Qwen 3.5 (Qwen team 2026), the dense text model: three of four layers have a state that the gated
// delta rule updates; the fourth has attention with a gate on its output.

import { UnsupportedError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
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
} from './blocks.ts'
import { type JsonObject, readCommon, readFlag, readLayerTypes, readSize } from './read-config.ts'
import { readRope } from './read-rope.ts'

const NORM_OFFSET = 1 // the files hold w − 1
const LENGTH_EPSILON = 1e-6 // of the lengths of queries and keys

const attending: LayerConfig = { rope: 'main' }
const recurring: LayerConfig = { mixer: 'recurrence' }

function readLayers(json: JsonObject, count: number): LayerConfig[] {
  const interval = readSize(json, 'full_attention_interval', 4)
  const known = { full_attention: attending, linear_attention: recurring }
  return readLayerTypes(json, count, known, (layer) =>
    (layer + 1) % interval === 0 ? 'full_attention' : 'linear_attention',
  )
}

/** The sections of multimodal angles are equal for text: every axis counts the same positions. */
function readTextRope(
  json: JsonObject,
  headWidth: number,
  maxPositions: number,
): ModelConfig['rope'] {
  const given = (json.rope_scaling ?? json.rope_parameters ?? {}) as JsonObject
  const { mrope_section: _section, mrope_interleaved: _interleaved, ...parameters } = given
  const flat = {
    partial_rotary_factor: 0.25,
    ...json,
    rope_scaling: undefined,
    rope_parameters: parameters,
  }
  return { main: readRope(flat, { headWidth, maxPositions, theta: 10_000 }) }
}

/** x / |x| · scale for each head of [N, T, heads·width]. */
function buildUnitHeads(
  g: GraphBuilder,
  x: Value,
  heads: number,
  width: number,
  scale: number,
): Value {
  const perHead = g.reshape(x, ['N', 'T', heads, width])
  const ones = g.constant(f32([width], new Float32Array(width).fill(1)))
  const normed = g.rmsNorm(perHead, ones, LENGTH_EPSILON / width)
  return g.reshape(g.scale(normed, scale * width ** -0.5), x.shape)
}

/**
 * exp(decay) is the factor with which the state is kept: decay = −exp(A)·softplus(a + bias), [N, T,
 * H].
 */
function buildDecay(g: GraphBuilder, x: Value, heads: number): Value {
  const input = buildLinear(g, x, 'linear_attn.in_proj_a', heads)
  const rate = g.op('exponential', [g.weight('linear_attn.A_log', [heads])])
  const step = g.op('softplus', [g.add(input, g.weight('linear_attn.dt_bias', [heads]))])
  return g.multiply(step, g.scale(rate, -1))
}

function buildDeltaNet(g: GraphBuilder, x: Value, config: ModelConfig): Value {
  const { keyHeads, heads, keyWidth, valueWidth } = config.recurrence!
  const { width, kernel } = config.convolution!
  const keys = keyHeads * keyWidth
  const mixed = g.op('causalConvolution', [
    buildLinear(g, x, 'linear_attn.in_proj_qkv', width),
    g.weight('linear_attn.conv1d.weight', [width, 1, kernel]),
    g.input('positions', 'i64', ['N', 'T']),
  ])
  const active = g.silu(mixed)
  const q = g.slice(active, 2, 0, keys)
  const k = g.slice(active, 2, keys, 2 * keys)
  const v = g.slice(active, 2, 2 * keys, width)
  const beta = g.op('sigmoid', [buildLinear(g, x, 'linear_attn.in_proj_b', heads)])
  const found = g.op(
    'gatedDelta',
    [
      buildUnitHeads(g, q, keyHeads, keyWidth, keyWidth ** -0.5),
      buildUnitHeads(g, k, keyHeads, keyWidth, 1),
      v,
      buildDecay(g, x, heads),
      beta,
      g.input('positions', 'i64', ['N', 'T']),
    ],
    { heads, keyHeads, keyWidth, valueWidth },
  )
  const perHead = g.reshape(found, ['N', 'T', heads, valueWidth])
  const normed = g.reshape(buildNorm(g, perHead, 'linear_attn.norm', config), found.shape)
  const gate = g.silu(buildLinear(g, x, 'linear_attn.in_proj_z', heads * valueWidth))
  return buildLinear(g, g.multiply(normed, gate), 'linear_attn.out_proj', config.width)
}

function buildGatedAttention(
  g: GraphBuilder,
  x: Value,
  config: ModelConfig,
  layer: LayerConfig,
): Value {
  const { heads, kvHeads, headWidth: d, attentionBias: bias } = config
  const both = g.reshape(buildLinear(g, x, 'self_attn.q_proj', heads * 2 * d, bias), [
    'N',
    'T',
    heads,
    2 * d,
  ])
  const part = (start: number): Value => g.slice(both, 3, start, start + d)
  const flat = (y: Value, count: number): Value => g.reshape(y, ['N', 'T', count * d])
  const normed = (y: Value, module: string): Value => buildNorm(g, y, module, config, NORM_OFFSET)
  const keys = buildLinear(g, x, 'self_attn.k_proj', kvHeads * d, bias)
  const projections = {
    q: flat(normed(part(0), 'self_attn.q_norm'), heads),
    k: flat(normed(g.reshape(keys, ['N', 'T', kvHeads, d]), 'self_attn.k_norm'), kvHeads),
    v: buildLinear(g, x, 'self_attn.v_proj', kvHeads * d, bias),
  }
  const gate = g.op('sigmoid', [flat(part(d), heads)])
  return buildAttention(g, projections, config, layer, { bias, gate })
}

export const qwen35Text: Architecture = {
  modelType: 'qwen3_5_text',
  readConfig(json) {
    if (!readFlag(json, 'attn_output_gate', true))
      throw new UnsupportedError(
        'config.json of a qwen3_5_text model: "attn_output_gate" false is not supported.',
      )
    const { rope_parameters: _parameters, rope_scaling: _scaling, ...plain } = json
    const common = readCommon(plain, { kvHeads: 4, headWidth: 256, maxPositions: 32_768 })
    const recurrence = {
      keyHeads: readSize(json, 'linear_num_key_heads', 16),
      heads: readSize(json, 'linear_num_value_heads', 32),
      keyWidth: readSize(json, 'linear_key_head_dim', 128),
      valueWidth: readSize(json, 'linear_value_head_dim', 128),
    }
    const { keyHeads, heads, keyWidth, valueWidth } = recurrence
    return {
      ...common,
      attentionBias: readFlag(json, 'attention_bias', false),
      layers: readLayers(json, common.layers.length),
      rope: readTextRope(json, common.headWidth, common.maxPositions),
      convolution: {
        width: 2 * keyHeads * keyWidth + heads * valueWidth,
        kernel: readSize(json, 'linear_conv_kernel_dim', 4),
      },
      recurrence,
      source: json,
    }
  },
  embed: buildEmbedding,
  layer: (config, layer) =>
    buildLayer(
      config,
      (g, x) => {
        const normed = buildNorm(g, x, 'input_layernorm', config, NORM_OFFSET)
        return layer.mixer === 'recurrence'
          ? buildDeltaNet(g, normed, config)
          : buildGatedAttention(g, normed, config, layer)
      },
      (g, x) =>
        buildFeedForward(
          g,
          buildNorm(g, x, 'post_attention_layernorm', config, NORM_OFFSET),
          config,
        ),
    ),
  head: (config) => buildModelHead(config, { normOffset: NORM_OFFSET }),
}
