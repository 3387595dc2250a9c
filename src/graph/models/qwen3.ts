// Qwen3 (dense): Llama's layer with an RMSNorm on each query and key head, and heads whose width is
// free.

import type { Architecture } from '../architecture.ts'
import { decoderLayer, embedTokens, modelHead } from './blocks.ts'
import { qwenLayers } from './qwen2.ts'
import { flagOf, readCommon } from './read-config.ts'

export const qwen3: Architecture = {
  modelType: 'qwen3',
  readConfig(json) {
    const common = readCommon(json, { headWidth: 128, maxPositions: 32_768 })
    return {
      ...common,
      attentionBias: flagOf(json, 'attention_bias', false),
      layers: qwenLayers(json, common.layers.length),
    }
  },
  embed: embedTokens,
  layer: (config, layer) => decoderLayer(config, layer, { headNorms: true }),
  head: modelHead,
}
