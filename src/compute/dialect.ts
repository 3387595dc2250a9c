// How a platform of ONNX Runtime is used: what differs between them as one value, so that a platform
// is a row here. Independent of the library.

export interface Dialect {
  /** Shown to users. */
  readonly backendName: string
  /** Undefined: the library's own choice. */
  readonly executionProviders: readonly string[] | undefined
  /** Feeding costs a copy: weights belong inside of programs, as f32 where they fit. */
  readonly feedsAreCopied: boolean
  /** Initializers may lie in files, which ONNX Runtime reads itself. */
  readonly readsFiles: boolean
  /** How many threads compute is an option of a session; otherwise of the whole library. */
  readonly hasSessionThreads: boolean
}

export const cpuDialect: Dialect = {
  backendName: 'onnxruntime-node',
  executionProviders: undefined,
  feedsAreCopied: false,
  readsFiles: true,
  hasSessionThreads: true,
}

export const wasmDialect: Dialect = {
  backendName: 'onnxruntime-web (WebAssembly)',
  executionProviders: ['wasm'],
  feedsAreCopied: true,
  readsFiles: false,
  hasSessionThreads: false,
}
