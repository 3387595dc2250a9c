// Qwen2 and Qwen2.5: Llama's layer with a bias on queries, keys and values only; later layers may
// have a sliding window.

import type { Architecture } from '../architecture.ts'
import type { LayerConfig } from '../model-config.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import {
  readFlag,
  type JsonObject,
  readLayerWindows,
  readCommon,
  readSize,
  toSlidingLayer,
  readWindow,
} from './read-config.ts'

/** Layers from `max_window_layers` on have a sliding window, if `use_sliding_window` is set. */
export function readQwenLayers(json: JsonObject, count: number): LayerConfig[] {
  const window = readFlag(json, 'use_sliding_window', false) ? readWindow(json, 4096) : undefined
  const first = json.max_window_layers === 0 ? 0 : readSize(json, 'max_window_layers', 28)
  return readLayerWindows(
    json,
    count,
    window,
    (layer) => window !== undefined && layer >= first,
  ).map(toSlidingLayer)
}

export const qwen2: Architecture = {
  modelType: 'qwen2',
  readConfig(json) {
    const common = readCommon(json, { maxPositions: 32_768 })
    return { ...common, attentionBias: true, layers: readQwenLayers(json, common.layers.length) }
  },
  embed: buildEmbedding,
  layer: (config, layer) => buildDecoderLayer(config, layer, { outputBias: false }),
  head: buildModelHead,
}
