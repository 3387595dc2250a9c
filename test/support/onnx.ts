// ONNX Runtime as the backend of contract suites and tests: one thread, so that the numbers of a
// run do not depend on the machine.
import * as ort from 'onnxruntime-node'
import { cpuDialect, type Dialect } from '../../src/compute/dialect.ts'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'

export const onnxBackend = createOnnxRuntimeBackend(ort as never, { threads: 1 })

/**
 * What a platform may lack, lacking: ONNX Runtime's own operators, tensors without elements, two
 * calls at once.
 */
export const plainDialect: Dialect = {
  ...cpuDialect,
  backendName: 'plain ONNX operators',
  operators: new Set(),
  emptyTensors: false,
  isSerial: true,
}

export const plainBackend = createOnnxRuntimeBackend(ort as never, { threads: 1 }, plainDialect)
