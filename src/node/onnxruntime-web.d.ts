// The part of onnxruntime-web that src/node uses. Its own types ask for those of the DOM and WebGPU.

declare module 'onnxruntime-web' {
  export const InferenceSession: {
    create(model: Uint8Array, options?: object): Promise<never>
  }
  export const env: { readonly wasm: { numThreads?: number } }
}
