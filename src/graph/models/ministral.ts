// Ministral (Mistral AI 2024): Mistral's layer; some layers attend only to a window of earlier
// tokens.

import type { Architecture } from '../architecture.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import { readCommon, readLayerWindows, readWindow, toSlidingLayer } from './read-config.ts'

export const ministral: Architecture = {
  modelType: 'ministral',
  readConfig(json) {
    const common = readCommon(json, { kvHeads: 8, maxPositions: 131_072 })
    const window = readWindow(json, 4096)
    const windows = readLayerWindows(json, common.layers.length, window, () => window !== undefined)
    return { ...common, layers: windows.map(toSlidingLayer) }
  },
  embed: buildEmbedding,
  layer: buildDecoderLayer,
  head: buildModelHead,
}
