// SmolLM3: Llama's layer, where every fourth layer has no position embedding (NoPE, Yang et al.
// 2025).

import { FormatError } from '../../base/errors.ts'
import type { Architecture } from '../architecture.ts'
import type { LayerConfig } from '../model-config.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import {
  readFlag,
  type JsonObject,
  readLayerWindows,
  readCommon,
  readSize,
  readWindow,
} from './read-config.ts'

/**
 * `no_rope_layers` has 1 for a layer with RoPE and 0 for one without, the reverse of its name.
 */
function readRotaryLayers(json: JsonObject, count: number): boolean[] {
  const interval = readSize(json, 'no_rope_layer_interval', 4)
  const listed =
    json.no_rope_layers ??
    Array.from({ length: count }, (_, i) => ((i + 1) % interval === 0 ? 0 : 1))
  if (!Array.isArray(listed) || listed.length !== count) {
    throw new FormatError(
      `config.json: "no_rope_layers" must have ${count} entries, one for each layer.`,
    )
  }
  return listed.map((value) => value !== 0)
}

export const smollm3: Architecture = {
  modelType: 'smollm3',
  readConfig(json) {
    const common = readCommon(json, {
      kvHeads: 4,
      maxPositions: 32_768,
      theta: 2_000_000,
      tiedEmbeddings: true,
    })
    const turning = readRotaryLayers(json, common.layers.length)
    const slides = readFlag(json, 'use_sliding_window', false)
    const windows = readLayerWindows(
      json,
      turning.length,
      readWindow(json),
      (layer) => slides && !!readWindow(json) && !turning[layer],
    )
    const layers = windows.map((slidingWindow, i): LayerConfig => ({
      ...(turning[i] ? { rope: 'main' } : {}),
      ...(slidingWindow === undefined ? {} : { slidingWindow }),
    }))
    return {
      ...common,
      attentionBias: readFlag(json, 'attention_bias', false),
      mlpBias: readFlag(json, 'mlp_bias', false),
      layers,
    }
  },
  embed: buildEmbedding,
  layer: buildDecoderLayer,
  head: buildModelHead,
}
