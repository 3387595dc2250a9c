// Gemma 3 (text): four norms in each layer, normalised heads, and a separate RoPE table for sliding
// layers.

import { UnsupportedError } from '../../base/errors.ts'
import type { Architecture } from '../architecture.ts'
import type { LayerConfig, ModelConfig } from '../model-config.ts'
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
  readFlag,
  type JsonObject,
  readLayerWindows,
  readNumber,
  readCommon,
  requireValue,
  readSize,
  readWindow,
} from './read-config.ts'
import { readRopeParameters } from './read-rope.ts'

const NORM_OFFSET = 1 // the files hold w − 1
const ACTIVATION = 'gelu_pytorch_tanh'
const LOCAL_THETA = 10_000
const GLOBAL_THETA = 1_000_000

/**
 * Sliding layers use `rope_local_base_freq` without scaling, full ones the main parameters. Newer
 * files have both by type of layer.
 */
function readRopes(json: JsonObject, headWidth: number, maxPositions: number): ModelConfig['rope'] {
  const byType = (json.rope_parameters ?? {}) as Readonly<
    Record<string, JsonObject | null | undefined>
  >
  const local = {
    rope_theta: readNumber(json, 'rope_local_base_freq') ?? LOCAL_THETA,
    ...byType.sliding_attention,
  }
  const main = {
    rope_theta: readNumber(json, 'rope_theta') ?? GLOBAL_THETA,
    ...byType.full_attention,
    ...(json.rope_scaling as JsonObject | null),
  }
  return {
    main: readRopeParameters(main, json, { headWidth, maxPositions, theta: GLOBAL_THETA }),
    local: readRopeParameters(local, json, { headWidth, maxPositions, theta: LOCAL_THETA }),
  }
}

function readLayers(json: JsonObject, count: number): LayerConfig[] {
  const period = readSize(
    json,
    'sliding_window_pattern',
    readNumber(json, '_sliding_window_pattern') ?? 6,
  )
  return readLayerWindows(
    json,
    count,
    readWindow(json, 4096),
    (layer) => (layer + 1) % period !== 0,
  ).map((slidingWindow) =>
    slidingWindow === undefined ? { rope: 'main' } : { rope: 'local', slidingWindow },
  )
}

export const gemma3Text: Architecture = {
  modelType: 'gemma3_text',
  readConfig(json) {
    requireValue(json, 'hidden_activation', ACTIVATION)
    requireValue(json, 'attn_logit_softcapping', null) // transformers reads it and never applies it
    if (readFlag(json, 'use_bidirectional_attention', false)) {
      throw new UnsupportedError(
        'config.json of a gemma3_text model: "use_bidirectional_attention" is not supported.',
      )
    }
    const { rope_parameters: _byType, rope_scaling: _scaling, ...flat } = json
    const defaults = {
      kvHeads: 4,
      headWidth: 256,
      maxPositions: 131_072,
      tiedEmbeddings: true,
      activation: ACTIVATION,
    }
    const common = readCommon(flat, defaults)
    return {
      ...common,
      attentionBias: readFlag(json, 'attention_bias', false),
      layers: readLayers(json, common.layers.length),
      rope: readRopes(json, common.headWidth, common.maxPositions),
      attentionScale: (readNumber(json, 'query_pre_attn_scalar') ?? 256) ** -0.5,
      logitSoftcap: readNumber(json, 'final_logit_softcapping') ?? 0,
      source: json,
    }
  },
  // transformers stores the factor in the weights' type, f32 here
  embed: (config) => buildEmbedding(config, Math.fround(Math.sqrt(config.width))),
  layer: (config, layer) => {
    const form = { headNorms: true, normOffset: NORM_OFFSET }
    return buildLayer(
      config,
      (g, x) => {
        const projections = buildProjections(
          g,
          buildNorm(g, x, 'input_layernorm', config, NORM_OFFSET),
          config,
          form,
        )
        const attended = buildAttention(g, projections, config, layer, {
          bias: config.attentionBias,
        })
        return buildNorm(g, attended, 'post_attention_layernorm', config, NORM_OFFSET)
      },
      (g, x) => {
        const inner = buildFeedForward(
          g,
          buildNorm(g, x, 'pre_feedforward_layernorm', config, NORM_OFFSET),
          config,
          'geluTanh',
        )
        return buildNorm(g, inner, 'post_feedforward_layernorm', config, NORM_OFFSET)
      },
    )
  },
  head: (config) => buildModelHead(config, { normOffset: NORM_OFFSET }),
}
