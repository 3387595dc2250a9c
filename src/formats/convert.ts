// Any element type to f32, and f32 to the float types that files use.

import { type DType, isBlockType, type PlainType } from '../base/dtype.ts'
import { viewBytes, sizeOf, type Tensor } from '../base/tensor.ts'
import { toBf16Bits, getE4m3Values, toF16Bits, getF16Values } from './half.ts'
import { quants } from './quants/quant-table.ts'

/**
 * The tensor's values as f32; the tensor's own array, not copied, where it is f32 already. f64,
 * i32, u32, i64 and u64 round to the nearest f32; everything else is exact up to the block format's
 * own arithmetic. Throws ShapeError if a block tensor's bytes do not fit its shape.
 */
export function toFloat32(tensor: Tensor): Float32Array {
  const { dtype, shape, data } = tensor
  if (isBlockType(dtype)) {
    const values = new Float32Array(sizeOf(shape))
    quants[dtype].dequantize(viewBytes(tensor), values)
    return values
  }
  return readers[dtype](data as never)
}

const readers: { readonly [Type in PlainType]: (data: never) => Float32Array } = {
  f32: (data: Float32Array) => data,
  f64: (data: Float64Array) => new Float32Array(data),
  f16: (data: Uint16Array) => lookUp(data, getF16Values(), 0),
  bf16: (data: Uint16Array) => {
    const bits = new Uint32Array(data.length)
    for (let i = 0; i < data.length; i++) bits[i] = data[i]! << 16
    return new Float32Array(bits.buffer)
  },
  f8_e4m3: (data: Uint8Array) => lookUp(data, getE4m3Values(), 0),
  f8_e5m2: (data: Uint8Array) => lookUp(data, getF16Values(), 8), // the upper byte of an f16
  i8: (data: Int8Array) => new Float32Array(data),
  u8: (data: Uint8Array) => new Float32Array(data),
  i16: (data: Int16Array) => new Float32Array(data),
  u16: (data: Uint16Array) => new Float32Array(data),
  i32: (data: Int32Array) => new Float32Array(data),
  u32: (data: Uint32Array) => new Float32Array(data),
  i64: (data: BigInt64Array) => fromBigInts(data),
  u64: (data: BigUint64Array) => fromBigInts(data),
  bool: (data: Uint8Array) => Float32Array.from(data, (value) => (value === 0 ? 0 : 1)),
}

function lookUp(data: Uint8Array | Uint16Array, table: Float32Array, shift: number): Float32Array {
  const values = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) values[i] = table[data[i]! << shift]!
  return values
}

function fromBigInts(data: BigInt64Array | BigUint64Array): Float32Array {
  const values = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) values[i] = Number(data[i]!)
  return values
}

/** f32 values in a float type's own data array, rounded to nearest even; for f32 the same array. */
export function fromFloat32(
  values: Float32Array,
  dtype: 'f32' | 'f16' | 'bf16',
): Float32Array | Uint16Array {
  if (dtype === 'f32') return values
  const bits = new Uint16Array(values.length)
  const convert = dtype === 'f16' ? toF16Bits : toBf16Bits
  for (let i = 0; i < values.length; i++) bits[i] = convert(values[i]!)
  return bits
}

/**
 * Whether `toFloat32` of this type keeps every value exactly, so that saving it as f32 loses
 * nothing.
 */
export const isExactInFloat32 = (dtype: DType): boolean =>
  !['f64', 'i32', 'u32', 'i64', 'u64'].includes(dtype)
