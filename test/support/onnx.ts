// ONNX Runtime as the backend of contract suites and tests: one thread, so that the numbers of a
// run do not depend on the machine.
import * as ort from 'onnxruntime-node'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'

export const onnxBackend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
