// Tensors whose values are made when a runtime asks for them, and kept only there: f32 weights out
// of packed ones, which would otherwise be in memory twice while a session is made.

import { assertInternal } from '../base/errors.ts'
import { f32, type F32Tensor, type FileTensor, sizeOf } from '../base/tensor.ts'

/** Bears the name of a folder that is none. */
const lazyFolder = ':lazy:'

const makers = new WeakMap<FileTensor, () => Float32Array>()

/** An f32 tensor that `make` gives the values of, each time that they are asked for. */
export function createLazyTensor(
  name: string,
  shape: readonly number[],
  make: () => Float32Array,
): FileTensor {
  const tensor: FileTensor = {
    dtype: 'f32',
    shape,
    folder: lazyFolder,
    file: name,
    offsetBytes: 0,
    sizeBytes: Float32Array.BYTES_PER_ELEMENT * sizeOf(shape),
  }
  makers.set(tensor, make)
  return tensor
}

/** The tensor in memory. */
export function makeLazyTensor(tensor: FileTensor): F32Tensor {
  const make = makers.get(tensor)
  assertInternal(make, `the tensor "${tensor.file}" is lazy`)
  return f32(tensor.shape, make())
}

/**
 * The bytes as onnxruntime-web takes the files of a model: it asks for `byteLength`, and copies what
 * `subarray` gives into WebAssembly's memory.
 */
export class LazyBytes extends Uint8Array {
  readonly #tensor: FileTensor

  constructor(tensor: FileTensor) {
    super(0)
    this.#tensor = tensor
  }

  override get byteLength(): number {
    return this.#tensor.sizeBytes
  }

  override get length(): number {
    return this.#tensor.sizeBytes
  }

  override subarray(begin = 0, end = this.#tensor.sizeBytes): Uint8Array<ArrayBuffer> {
    const { data } = makeLazyTensor(this.#tensor)
    return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset + begin, end - begin)
  }

  /** Typed arrays make their copies by it; none is made of this. */
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Uint8Array
  }
}
