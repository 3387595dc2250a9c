// Qwen2 and Qwen2.5: Llama's layer with a bias on queries, keys and values only; later layers may
// slide.

import type { Architecture } from '../architecture.ts'
import type { LayerConfig } from '../model-config.ts'
import { decoderLayer, embedTokens, modelHead } from './blocks.ts'
import {
  flagOf,
  type Json,
  layerWindows,
  readCommon,
  sizeOfKey,
  slidingLayer,
  windowOf,
} from './read-config.ts'

/** Layers from `max_window_layers` on slide, where `use_sliding_window` says so. */
export function qwenLayers(json: Json, count: number): LayerConfig[] {
  const window = flagOf(json, 'use_sliding_window', false) ? windowOf(json, 4096) : undefined
  const first = json.max_window_layers === 0 ? 0 : sizeOfKey(json, 'max_window_layers', 28)
  return layerWindows(json, count, window, (layer) => window !== undefined && layer >= first).map(
    slidingLayer,
  )
}

export const qwen2: Architecture = {
  modelType: 'qwen2',
  readConfig(json) {
    const common = readCommon(json, { maxPositions: 32_768 })
    return { ...common, attentionBias: true, layers: qwenLayers(json, common.layers.length) }
  },
  embed: embedTokens,
  layer: (config, layer) => decoderLayer(config, layer, { outputBias: false }),
  head: modelHead,
}
