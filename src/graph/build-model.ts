// From a config to the blocks of its model: embed, one per layer, head. Layers of equal structure
// share one graph.

import type { Graph } from './ir.ts'
import type { ModelConfig } from './model-config.ts'
import type { Block, ModelGraph } from './model-graph.ts'
import { getArchitecture } from './models/architecture-table.ts'

/** Path of a layer in a checkpoint, with the dot that its weights follow. */
export const toLayerPrefix = (layer: number): string => `model.layers.${layer}.`

/** The model of a config. Throws UnsupportedError for an architecture that is not in the table. */
export function buildModelGraph(config: ModelConfig): ModelGraph {
  const architecture = getArchitecture({ model_type: config.modelType })
  const graphs = new Map<string, Graph>()
  const layers = config.layers.map((layer, i): Block => {
    // The graph depends only on whether there is a window; its length is in the mask.
    const form = JSON.stringify([
      layer.rope ?? 'none',
      layer.slidingWindow !== undefined,
      layer.mixer ?? 'attention',
    ])
    const graph = graphs.get(form) ?? architecture.layer(config, layer)
    graphs.set(form, graph)
    return { kind: 'layer', prefix: toLayerPrefix(i), graph }
  })
  return {
    config,
    blocks: [
      { kind: 'embed', prefix: '', graph: architecture.embed(config) },
      ...layers,
      { kind: 'head', prefix: '', graph: architecture.head(config) },
    ],
  }
}
