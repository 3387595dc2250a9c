// Sessions of ONNX Runtime on WebAssembly: large initializers are passed outside the model, and
// running out of memory is one clear error.

import { UnsupportedError } from '../base/errors.ts'
import { type FileTensor, isFileTensor, type Tensor, viewBytes } from '../base/tensor.ts'
import { encodeOnnx, type OnnxModel } from '../formats/onnx.ts'
import { LazyBytes, loadLazyTensor, releaseLazyTensor, releaseScratch } from './lazy-tensor.ts'
import type { OnnxRuntime, OnnxSession } from './onnx-library.ts'

// An initializer inside the model is held twice in WebAssembly's memory while the model is read;
// below this size that does not count.
const leastExternalBytes = 1 << 16

/** WebAssembly that is out of memory fails with various messages, or with a bare number. */
function throwMemoryError(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error)
  if (!/^\d+$|bad_alloc|out of memory|memory access out of bounds|allocation fail/i.test(message))
    throw error
  throw new UnsupportedError(
    `ONNX Runtime on WebAssembly: got "${message}", which is what it says when its 4 GB of memory are used up. Use the native runtime (onnxruntime-node), a smaller model, shorter texts or smaller batches.`,
    { cause: error },
  )
}

/** Throws UnsupportedError if the memory does not suffice, here and when the session runs. */
export async function createWasmSession(
  runtime: OnnxRuntime,
  model: OnnxModel,
  settings: Readonly<Record<string, unknown>>,
): Promise<OnnxSession> {
  const external = new Map(
    [...model.initializers].flatMap(([name, tensor]) =>
      isFileTensor(tensor) || tensor.data.byteLength >= leastExternalBytes
        ? [[name, tensor] as const]
        : [],
    ),
  )
  const bytes = encodeOnnx(model, new Set(external.keys()))
  const lazy = [...external.values()].filter(isFileTensor)
  // One after the other, in the order of the file.
  for (const tensor of lazy) await loadLazyTensor(tensor)
  const options = { ...settings, ...toExternalData(external) }
  const session = await runtime.InferenceSession.create(bytes, options)
    .catch(throwMemoryError)
    .finally(() => {
      releaseScratch()
      for (const tensor of lazy) releaseLazyTensor(tensor)
    })
  return {
    run: (feeds, outputs) => session.run(feeds, outputs).catch(throwMemoryError),
    release: () => session.release(),
  }
}

const toExternalData = (tensors: ReadonlyMap<string, Tensor | FileTensor>): object =>
  tensors.size === 0
    ? {}
    : {
        externalData: [...tensors].map(([path, tensor]) => ({
          path,
          data: isFileTensor(tensor) ? new LazyBytes(tensor) : viewBytes(tensor),
        })),
      }
