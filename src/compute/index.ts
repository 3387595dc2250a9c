// graftlm/compute: backends that run graphs. ONNX Runtime is passed in by the caller; the reference
// interpreter needs nothing.

export type { Backend, CompileOptions, Program } from './backend.ts'
export {
  createOnnxRuntimeBackend,
  type OnnxRuntime,
  type OnnxRuntimeOptions,
} from './onnxruntime.ts'
export { referenceBackend } from './reference.ts'
