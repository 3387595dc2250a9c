// The part of ONNX Runtime's JavaScript libraries (onnxruntime-node, onnxruntime-web) that is used.

export interface OnnxRuntime {
  readonly InferenceSession: { create(model: Uint8Array, options?: object): Promise<OnnxSession> }
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => OnnxTensor
  readonly env?: {
    /** Which of the libraries this process has loaded: `node`, `web`. */
    readonly versions?: Readonly<Record<string, string | undefined>>
  }
}

export interface OnnxTensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
  /** Where the data is; 'cpu' is all that is used. */
  readonly location?: string
}

export interface OnnxSession {
  /** All outputs, or those named. */
  run(
    feeds: Readonly<Record<string, OnnxTensor>>,
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, OnnxTensor>>>
  release(): Promise<void>
}
