// Tensors whose values are computed when a runtime asks for them, and stored only there: f32
// weights from packed ones, which would otherwise be in memory twice while a session is created.

import { assertInternal } from '../base/errors.ts'
import { f32, type F32Tensor, type FileTensor, sizeOf } from '../base/tensor.ts'

/** Marks lazy tensors in the field for a folder; no such folder exists. */
const lazyFolder = ':lazy:'

/** How the values of a lazy tensor are made. */
export interface TensorMaker {
  /** Writes the values; called each time they are requested. */
  fill(values: Float32Array): void
  /** Reads what `fill` needs, before a session is made. */
  load?(): Promise<void>
  /** Called when the session has its values. */
  release?(): void
}

const makers = new WeakMap<FileTensor, TensorMaker>()

/** An f32 tensor whose values are made when they are asked for. */
export function createLazyTensor(
  name: string,
  shape: readonly number[],
  maker: TensorMaker,
): FileTensor {
  const tensor: FileTensor = {
    dtype: 'f32',
    shape,
    folder: lazyFolder,
    file: name,
    offsetBytes: 0,
    sizeBytes: Float32Array.BYTES_PER_ELEMENT * sizeOf(shape),
  }
  makers.set(tensor, maker)
  return tensor
}

function getMaker(tensor: FileTensor): TensorMaker {
  const maker = makers.get(tensor)
  assertInternal(maker, `the tensor "${tensor.file}" is lazy`)
  return maker
}

/** Reads what the values are made of. */
export const loadLazyTensor = async (tensor: FileTensor): Promise<void> => getMaker(tensor).load?.()

/** Gives back what was read. */
export const releaseLazyTensor = (tensor: FileTensor): void => getMaker(tensor).release?.()

/** The tensor in memory. */
export function makeLazyTensor(tensor: FileTensor): F32Tensor {
  const made = f32(tensor.shape)
  getMaker(tensor).fill(made.data)
  return made
}

/**
 * A buffer into which one tensor after the other is computed and then copied; as large as the
 * largest one.
 */
let scratch = new Float32Array(0)

/** Called when a runtime has read what it needs. */
export const releaseScratch = (): void => void (scratch = new Float32Array(0))

/**
 * The bytes in the form that onnxruntime-web expects of a model's files: it reads `byteLength`, and
 * copies the result of `subarray` into WebAssembly's memory at once. The next call overwrites that
 * result.
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
    const length = this.#tensor.sizeBytes / Float32Array.BYTES_PER_ELEMENT
    if (scratch.length < length) scratch = new Float32Array(length)
    getMaker(this.#tensor).fill(scratch.subarray(0, length))
    return new Uint8Array(scratch.buffer, begin, end - begin)
  }

  /** Typed arrays create their copies with this constructor; this class is never copied. */
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Uint8Array
  }
}
