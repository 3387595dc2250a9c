// f32 values in the element types that Graft can write. What a type means is known to its own file.

import { blockLayout, countBytes, type DType, isBlockType } from '../base/dtype.ts'
import { NumericError } from '../base/errors.ts'
import { sizeOf, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { fromFloat32 } from './convert.ts'
import { quoteName } from './quote.ts'
import { quants } from './quants/quant-table.ts'

/**
 * What is written in place of a type: itself where its values can be made again, f16 for other
 * blocks and 8-bit floats, else f32.
 */
export function toWritableType(dtype: DType): DType {
  if (isBlockType(dtype)) return quants[dtype].quantize ? dtype : 'f16'
  if (dtype === 'f16' || dtype === 'bf16') return dtype
  return dtype.startsWith('f8') ? 'f16' : 'f32'
}

/** Whether rows of this length are whole blocks of the type. */
export const hasWholeBlocks = (dtype: DType, shape: readonly number[]): boolean =>
  !isBlockType(dtype) || (shape.at(-1) ?? 1) % blockLayout[dtype].elements === 0

/**
 * The tensor in a type that `toWritableType` gives. Throws NumericError that names it where a value
 * is too large for f16.
 */
export function encodeAsDtype(name: string, { shape, data }: F32Tensor, dtype: DType): Tensor {
  if (isBlockType(dtype)) {
    const blocks = new Uint8Array(countBytes(dtype, sizeOf(shape)))
    quants[dtype].quantize!(data, blocks)
    return { dtype, shape, data: blocks }
  }
  const type = dtype === 'f16' || dtype === 'bf16' ? dtype : 'f32'
  const values = fromFloat32(data, type)
  if (type === 'f16' && (values as Uint16Array).some((bits) => (bits & 0x7fff) === 0x7c00))
    throw new NumericError(
      `Tensor ${quoteName(name)}: contains values beyond 65504, which f16 cannot represent; write it as bf16 or f32.`,
    )
  return { dtype: type, shape, data: values }
}
