// What tests that import onnxruntime-node get in a page: the browser's library.

import type { OnnxRuntime } from '../../../src/compute/onnxruntime.ts'

const loaded = (await import('onnxruntime-web/wasm')) as unknown as OnnxRuntime & {
  readonly env: { readonly wasm: { numThreads: number } }
}
loaded.env.wasm.numThreads = 1
export const { InferenceSession, Tensor, env } = loaded
