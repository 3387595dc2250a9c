// Granite (IBM 2024), the dense models: llama's layer with four constant factors, of the embedding,
// of what layers add, of attention scores and of logits.

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
import { readCommon, readFlag, readNumber } from './read-config.ts'

const getFactor = ({ source }: ModelConfig, key: string): number => readNumber(source, key) ?? 1

export const granite: Architecture = {
  modelType: 'granite',
  readConfig(json) {
    const common = readCommon(json, { maxPositions: 2048 })
    return {
      ...common,
      attentionBias: readFlag(json, 'attention_bias', false),
      mlpBias: readFlag(json, 'mlp_bias', false),
      attentionScale: readNumber(json, 'attention_multiplier') ?? 1,
    }
  },
  embed: (config) => buildEmbedding(config, getFactor(config, 'embedding_multiplier')),
  layer(config, layer) {
    const added = (g: GraphBuilder, x: Value): Value =>
      g.scale(x, getFactor(config, 'residual_multiplier'))
    return buildLayer(
      config,
      (g, x) => {
        const normed = buildNorm(g, x, 'input_layernorm', config)
        const projections = buildProjections(g, normed, config)
        const bias = config.attentionBias
        return added(g, buildAttention(g, projections, config, layer, { bias }))
      },
      (g, x) =>
        added(g, buildFeedForward(g, buildNorm(g, x, 'post_attention_layernorm', config), config)),
    )
  },
  head: (config) => buildModelHead(config, { logitScale: 1 / getFactor(config, 'logits_scaling') }),
}
