// Mistral 7B (Jiang et al. 2023): Llama's layer, where every token sees only a window of those
// before it.

import type { Architecture } from '../architecture.ts'
import { decoderLayer, embedTokens, modelHead } from './blocks.ts'
import { readCommon, slidingLayer, windowOf } from './read-config.ts'

export const mistral: Architecture = {
  modelType: 'mistral',
  readConfig(json) {
    const common = readCommon(json, { kvHeads: 8, maxPositions: 131_072 })
    return { ...common, layers: common.layers.map(() => slidingLayer(windowOf(json, 4096))) }
  },
  embed: embedTokens,
  layer: decoderLayer,
  head: modelHead,
}
