// Qwen3 (dense): Llama's layer with an RMSNorm on each query and key head, and heads whose width is
// free.

import type { Architecture } from '../architecture.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import { readQwenLayers } from './qwen2.ts'
import { readFlag, readCommon } from './read-config.ts'

export const qwen3: Architecture = {
  modelType: 'qwen3',
  readConfig(json) {
    const common = readCommon(json, { headWidth: 128, maxPositions: 32_768 })
    return {
      ...common,
      attentionBias: readFlag(json, 'attention_bias', false),
      layers: readQwenLayers(json, common.layers.length),
    }
  },
  embed: buildEmbedding,
  layer: (config, layer) => buildDecoderLayer(config, layer, { headNorms: true }),
  head: buildModelHead,
}
