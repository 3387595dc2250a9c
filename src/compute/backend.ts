// The contract of a compute backend: compiles graphs, runs them. ONNX Runtime is one, the reference
// interpreter another.

import type { Tensor } from '../base/tensor.ts'
import type { Graph } from '../graph/ir.ts'

export interface CompileOptions {
  /**
   * Inputs whose values never change: the backend may repack them once. They are not fed to `run`.
   */
  readonly initializers?: ReadonlyMap<string, Tensor>
  /**
   * Memory counts: nothing is set aside beyond what one run holds at once. For training, where a
   * run holds a gigabyte.
   */
  readonly lean?: boolean
}

export interface Program {
  /**
   * Feeds every input by name (extra names are ignored), returns every output by name. Fed data is
   * not copied and not kept.
   */
  run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>
  dispose(): Promise<void>
}

export interface Backend {
  readonly name: string
  compile(graph: Graph, options?: CompileOptions): Promise<Program>
}
