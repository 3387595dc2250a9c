// The part of onnxruntime-web that src/web uses. Its own types ask for those of WebGPU.

declare module 'onnxruntime-web/wasm' {
  export const InferenceSession: {
    create(model: Uint8Array, options?: object): Promise<never>
  }
  export const Tensor: new (type: never, data: never, dims: readonly number[]) => never
  export const env: { readonly wasm: { numThreads?: number; wasmPaths?: unknown } }
}
