// Granite (IBM 2024), the dense models: llama's layer with four constant factors: of the embedding,
// of the layers' residual branches, of attention scores and of logits.

import type { Architecture } from '../architecture.ts'
import type { GraphBuilder } from '../builder.ts'
import type { Graph, Value } from '../ir.ts'
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
import { type JsonObject, readCommon, readFlag, readNumber } from './read-config.ts'

const getFactor = ({ source }: ModelConfig, key: string): number => readNumber(source, key) ?? 1

/** The config with Granite's factors; the feed-forward of the shared form has no bias. */
export function readGranite(json: JsonObject): ModelConfig {
  const common = readCommon(json, { maxPositions: 2048 })
  return {
    ...common,
    attentionBias: readFlag(json, 'attention_bias', false),
    mlpBias: readFlag(json, 'mlp_bias', false),
    attentionScale: readNumber(json, 'attention_multiplier') ?? 1,
  }
}

/** A layer whose parts are multiplied by one factor before they are added. */
export function buildGraniteLayer(
  config: ModelConfig,
  layer: LayerConfig,
  feedForward: (g: GraphBuilder, x: Value) => Value,
): Graph {
  const added = (g: GraphBuilder, x: Value): Value =>
    g.scale(x, getFactor(config, 'residual_multiplier'))
  return buildLayer(
    config,
    (g, x) => {
      const projections = buildProjections(g, buildNorm(g, x, 'input_layernorm', config), config)
      const bias = config.attentionBias
      return added(g, buildAttention(g, projections, config, layer, { bias }))
    },
    (g, x) => added(g, feedForward(g, buildNorm(g, x, 'post_attention_layernorm', config))),
  )
}

export const buildGraniteEmbedding = (config: ModelConfig): Graph =>
  buildEmbedding(config, getFactor(config, 'embedding_multiplier'))

export const buildGraniteHead = (config: ModelConfig): Graph =>
  buildModelHead(config, { logitScale: 1 / getFactor(config, 'logits_scaling') })

export const granite: Architecture = {
  modelType: 'granite',
  readConfig: readGranite,
  embed: buildGraniteEmbedding,
  layer: (config, layer) =>
    buildGraniteLayer(config, layer, (g, x) => buildFeedForward(g, x, config)),
  head: buildGraniteHead,
}
