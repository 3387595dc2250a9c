// How a platform of ONNX Runtime is used: what differs between them as one value, so that a platform
// is a row here. Independent of the library.

import { allOwnOperators, ownOperators, type OwnOperators } from '../graph/own-operators.ts'

export interface Dialect {
  /** Shown to users. */
  readonly backendName: string
  /** Undefined: the library's own choice. */
  readonly executionProviders: readonly string[] | undefined
  /**
   * ONNX Runtime's own operators that the platform has kernels for; other ones are expressed in
   * plain ONNX operators.
   */
  readonly operators: OwnOperators
  /**
   * Whether tensors without elements may be fed or be constants: caches without slots, factors of
   * rank 0. False on a GPU, whose driver ends the process.
   */
  readonly emptyTensors: boolean
  /** Feeding costs a copy: weights belong inside of programs, as f32 where they fit. */
  readonly feedsAreCopied: boolean
  /** Calls of all sessions run one after the other. */
  readonly isSerial: boolean
  /** Initializers may be in files, which ONNX Runtime reads itself. */
  readonly readsFiles: boolean
  /** How many threads compute is an option of a session; otherwise of the whole library. */
  readonly hasSessionThreads: boolean
}

export const cpuDialect: Dialect = {
  backendName: 'onnxruntime-node',
  executionProviders: undefined,
  operators: allOwnOperators,
  emptyTensors: true,
  feedsAreCopied: false,
  isSerial: false,
  readsFiles: true,
  hasSessionThreads: true,
}

export const wasmDialect: Dialect = {
  backendName: 'onnxruntime-web (WebAssembly)',
  executionProviders: ['wasm'],
  // The attention kernel is slow there: plain operators reduce the time of prefill to 0.6 of it.
  operators: new Set(ownOperators.filter((name) => name !== 'GroupQueryAttention')),
  emptyTensors: true,
  feedsAreCopied: true,
  isSerial: true,
  readsFiles: false,
  hasSessionThreads: false,
}
