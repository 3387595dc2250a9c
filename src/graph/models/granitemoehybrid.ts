// Granite 4 (IBM 2025), the dense models with attention only: Granite's layer with gate and up in
// one linear layer. Those with Mamba layers or experts are not supported.

import { UnsupportedError } from '../../base/errors.ts'
import type { Architecture } from '../architecture.ts'
import type { GraphBuilder } from '../builder.ts'
import type { Value } from '../ir.ts'
import type { LayerConfig, ModelConfig } from '../model-config.ts'
import { buildLinear } from './blocks.ts'
import {
  buildGraniteEmbedding,
  buildGraniteHead,
  buildGraniteLayer,
  readGranite,
} from './granite.ts'
import { readLayerTypes, readNumber, readSize } from './read-config.ts'

function buildSharedFeedForward(
  g: GraphBuilder,
  x: Value,
  { width, feedForward: inner }: ModelConfig,
): Value {
  const fused = buildLinear(g, x, 'shared_mlp.input_linear', 2 * inner) // [N, T, 2F]
  const gate = g.silu(g.slice(fused, 2, 0, inner))
  const gated = g.multiply(gate, g.slice(fused, 2, inner, 2 * inner))
  return buildLinear(g, gated, 'shared_mlp.output_linear', width)
}

export const graniteHybrid: Architecture = {
  modelType: 'granitemoehybrid',
  readConfig(json) {
    const experts = readNumber(json, 'num_local_experts') ?? 8
    if (experts > 0)
      throw new UnsupportedError(
        `config.json of a granitemoehybrid model: ${experts} experts ("num_local_experts") are not supported; expected 0.`,
      )
    const inner = readSize(json, 'shared_intermediate_size', 1024)
    const common = readGranite({ ...json, intermediate_size: inner })
    const attending: LayerConfig = json.position_embedding_type === 'rope' ? { rope: 'main' } : {}
    const known = { attention: attending, full_attention: attending }
    const layers = readLayerTypes(json, common.layers.length, known, () => 'mamba')
    return { ...common, mlpBias: false, layers, source: json }
  },
  embed: buildGraniteEmbedding,
  layer: (config, layer) =>
    buildGraniteLayer(config, layer, (g, x) => buildSharedFeedForward(g, x, config)),
  head: buildGraniteHead,
}
