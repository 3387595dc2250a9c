// The contract of an architecture: one file in models/ per `model_type`, one row in
// models/architecture-table.ts.

import type { Graph } from './ir.ts'
import type { LayerConfig, ModelConfig } from './model-config.ts'

export interface Architecture {
  readonly modelType: string
  /**
   * Reads config.json; throws UnsupportedError naming a key or value the architecture does not
   * support.
   */
  readConfig(json: Readonly<Record<string, unknown>>): ModelConfig
  /** ids → x. Weights by absolute names. */
  embed(config: ModelConfig): Graph
  /** x → x. Weights relative to `model.layers.<i>.`. Equal layers must give equal graphs. */
  layer(config: ModelConfig, layer: LayerConfig): Graph
  /** x, rows → hidden, logits. Weights by absolute names. */
  head(config: ModelConfig): Graph
}
