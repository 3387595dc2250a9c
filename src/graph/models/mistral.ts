// Mistral 7B (Jiang et al. 2023): Llama's layer, where every token attends only to a window of
// earlier ones.

import type { Architecture } from '../architecture.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import { readCommon, toSlidingLayer, readWindow } from './read-config.ts'

export const mistral: Architecture = {
  modelType: 'mistral',
  readConfig(json) {
    const common = readCommon(json, { kvHeads: 8, maxPositions: 131_072 })
    return { ...common, layers: common.layers.map(() => toSlidingLayer(readWindow(json, 4096))) }
  },
  embed: buildEmbedding,
  layer: buildDecoderLayer,
  head: buildModelHead,
}
