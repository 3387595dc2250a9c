// The contract of a compute backend: compiles graphs, runs them. ONNX Runtime is one, the reference
// interpreter another.

import type { FileTensor, Tensor } from '../base/tensor.ts'
import type { Graph } from '../graph/ir.ts'

export interface CompileOptions {
  /**
   * Inputs whose values never change: the backend may repack them once. They are not fed to `run`.
   * File tensors only where the backend `readsFiles`.
   */
  readonly initializers?: ReadonlyMap<string, Tensor | FileTensor>
  /**
   * Saves memory: nothing is reserved beyond what one run needs. For training, where a run needs a
   * gigabyte.
   */
  readonly lean?: boolean
  /**
   * Computes on one thread, where the platform has threads for each program. For short runs, which
   * a second thread speeds up little, and which wait long for it where other work has its core.
   */
  readonly oneThread?: boolean
}

export interface Program {
  /**
   * Feeds every input by name (extra names are ignored), returns every output by name. Fed data is
   * not copied and not kept.
   */
  run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>
  dispose(): Promise<void>
}

/** A graph that joins a group, with its initializers. */
export interface GroupMember {
  readonly graph: Graph
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
}

/** Programs over the same weights: these are in memory once for all programs of the group. */
export interface ProgramGroup {
  /**
   * Compiles these in addition to the existing ones. A member that multiplies other weights than
   * the group does is compiled alone, with a copy of its weights.
   */
  add(members: readonly GroupMember[]): Promise<Program[]>
}

export interface Backend {
  readonly name: string
  /** Whether initializers may be in files. */
  readonly readsFiles?: boolean
  /** False: tensors without elements must not be fed. Absent: they may. */
  readonly emptyTensors?: boolean
  compile(graph: Graph, options?: CompileOptions): Promise<Program>
  /** Whether memory is scarce, so that what can be made again is not kept. */
  readonly isMemoryScarce?: boolean
  /** Whether programs of a group share weights that are in memory, too. */
  readonly sharesMemory?: boolean
  /** Absent: every program has its own copy of its weights. */
  openGroup?(): ProgramGroup
}
