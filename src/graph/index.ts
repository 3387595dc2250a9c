// graftlm/graph: models as graphs. From config.json to blocks, from blocks to gradients and ONNX,
// and base models opened from files.

export { openBaseModel, type BaseModel, type BaseModelSource } from './base-model.ts'
export { buildModelGraph } from './build-model.ts'
export { GraphBuilder } from './builder.ts'
export { evaluate } from './evaluate.ts'
export { quantizations, type Quantization } from './quantized-base/frozen-form-table.ts'
export {
  freeze,
  thaw,
  countWeightBytes,
  type BaseWeight,
  type FrozenWeight,
} from './quantized-base/quantize-weight.ts'
export { computeCausalMask, collectModelFeeds, type Sequences } from './feeds.ts'
export { toGradientName, withGradients, type GradientOptions } from './passes/gradient.ts'
export type { Dim, Graph, GraphInput, Node, Value } from './ir.ts'
export type { ModelConfig, RopeConfig } from './model-config.ts'
export {
  composeBlocks,
  listModules,
  collectWeightShapes,
  type Block,
  type ModelGraph,
  type ModuleInfo,
} from './model-graph.ts'
export { getArchitecture, architectures } from './models/architecture-table.ts'
export { readQuantized, readWeights } from './read-weights.ts'
export { computeContextLimit, computeRopeTables, type RopeTables } from './rope.ts'
export { toOnnx } from './passes/to-onnx.ts'
