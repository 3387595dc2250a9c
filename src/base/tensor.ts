// A tensor is a plain value: element type, shape, data in row-major order. It has no methods and
// owns no device.

import { ShapeError } from './errors.ts'
import { type DType, isBlockType, type PlainType } from './dtype.ts'

export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

export interface Tensor<Data extends TensorData = TensorData> {
  readonly dtype: DType
  readonly shape: readonly number[]
  /**
   * f16 and bf16 as raw bits in a Uint16Array; f8, bool and block formats as bytes; i64 and u64 as
   * bigints.
   */
  readonly data: Data
}

/** A tensor whose bytes are in a file, for runtimes that read files directly. */
export interface FileTensor {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly folder: string
  /** The file's name in the folder. */
  readonly file: string
  readonly offsetBytes: number
  readonly sizeBytes: number
}

export const isFileTensor = (tensor: Tensor | FileTensor): tensor is FileTensor => 'file' in tensor

export type F32Tensor = Tensor<Float32Array> & { readonly dtype: 'f32' }

type ArrayConstructor = new (
  buffer: ArrayBufferLike,
  byteOffset?: number,
  length?: number,
) => TensorData

/** The typed array for a type's elements. */
export const arrayConstructors: Record<
  PlainType,
  ArrayConstructor & { readonly BYTES_PER_ELEMENT: number }
> = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  f8_e4m3: Uint8Array,
  f8_e5m2: Uint8Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  bool: Uint8Array,
}

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, dim) => product * dim, 1)

/** An f32 tensor over `data`, not copied. Throws ShapeError when the length does not fit. */
export function f32(shape: readonly number[], data?: Float32Array | readonly number[]): F32Tensor {
  const size = sizeOf(shape)
  const values =
    data === undefined
      ? new Float32Array(size)
      : data instanceof Float32Array
        ? data
        : Float32Array.from(data)
  if (values.length !== size)
    throw new ShapeError(
      `f32 tensor: got ${values.length} values, expected ${size} for shape [${shape.join(', ')}].`,
    )
  return { dtype: 'f32', shape, data: values }
}

/** An i64 tensor from plain numbers (token ids, positions, row numbers). */
export function i64(shape: readonly number[], values: ArrayLike<number>): Tensor<BigInt64Array> {
  const data = new BigInt64Array(values.length)
  for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i]!)
  if (data.length !== sizeOf(shape))
    throw new ShapeError(
      `i64 tensor: got ${data.length} values, expected ${sizeOf(shape)} for shape [${shape.join(', ')}].`,
    )
  return { dtype: 'i64', shape, data }
}

/** The tensor's bytes, without a copy. */
export function viewBytes({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/** A tensor over raw little-endian bytes: a view where the alignment allows it, else a copy. */
export function fromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  if (isBlockType(dtype)) return { dtype, shape, data: bytes }
  const make = arrayConstructors[dtype]
  const aligned = bytes.byteOffset % make.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice()
  return {
    dtype,
    shape,
    data: new make(aligned.buffer, aligned.byteOffset, aligned.byteLength / make.BYTES_PER_ELEMENT),
  }
}
