// A tensor that stays packed in memory: f16 with one power of two as a factor, or codes of 8 or 4
// bits with a scale for every 64 values, as in files (formats/block-code.ts). Independent of
// adapters and kernels.

import { NumericError, OptionError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import {
  blockCodes,
  type BlockCodeName,
  encodeBlocks,
  type EncodedBlocks,
} from '../../formats/block-code.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { toF16Bits } from '../../formats/half.ts'

export const packedBits = [16, 8, 4] as const
export type PackedBits = (typeof packedBits)[number]

/** value[i] = factor·f16[i], or scale[⌊i/64⌋]·code[i]; i counts in row-major order. */
export interface PackedTensor {
  readonly bits: PackedBits
  readonly shape: readonly number[]
  /** 16: f16 bits in a Uint16Array. 8: Int8Array. 4: Uint8Array with two codes a byte. */
  readonly codes: Uint16Array | Int8Array | Uint8Array
  /** 8 and 4 bits: a bf16 for 64 values. 16 bits: none. */
  readonly scales: Uint16Array
  /** 16 bits: the power of two that brings the tensor's values into f16's range. Else 1. */
  readonly factor: number
}

export const isPackedTensor = (tensor: Tensor | PackedTensor): tensor is PackedTensor =>
  'codes' in tensor

/** The name in files of codes with this number of bits. */
export const toBlockCodeName = (bits: 8 | 4): BlockCodeName => `int${bits}`

/**
 * A packed tensor over codes in the file's layout, not copied. Lengths are the caller's to check.
 */
export const createBlockTensor = (
  bits: 8 | 4,
  shape: readonly number[],
  { codes, scales }: EncodedBlocks,
): PackedTensor => ({ bits, shape, codes, scales, factor: 1 })

/** Bytes that a tensor takes in memory, packed or not. */
export const countHeldBytes = (tensor: Tensor | PackedTensor): number =>
  isPackedTensor(tensor)
    ? tensor.codes.byteLength + tensor.scales.byteLength
    : tensor.data.byteLength

/**
 * The tensor in 16, 8 or 4 bits; `name` is for errors. 16 bits keep 11 binary digits of every value
 * down to 2^-28 of the largest value (relative error 4.9e-4); 8 and 4 bits have an error of about
 * 0.7 and 9 % of a block's root mean square. Throws OptionError for other bits, NumericError for
 * NaN and infinity.
 */
export function packTensor(tensor: Tensor, bits: PackedBits, name = 'tensor'): PackedTensor {
  if (!packedBits.includes(bits))
    throw new OptionError(`bits: got ${JSON.stringify(bits)}, expected ${packedBits.join(', ')}.`)
  const values = toFloat32(tensor)
  if (!isAllFinite(values))
    throw new NumericError(`${name}: contains NaN or infinity, which packed tensors cannot hold.`)
  const { shape } = tensor
  if (bits === 16) return packHalves(shape, values)
  return createBlockTensor(bits, shape, encodeBlocks(blockCodes[toBlockCodeName(bits)], values))
}

const topExponent = 14 // scales the largest value to between 2^14 and 2^15; f16's largest is 65,504
const leastExponent = -126 // of a factor that is a normal f32

function packHalves(shape: readonly number[], values: Float32Array): PackedTensor {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  const exponent = largest === 0 ? 0 : Math.floor(Math.log2(largest)) - topExponent
  const factor = 2 ** Math.max(leastExponent, exponent)
  const codes = new Uint16Array(sizeOf(shape))
  for (let i = 0; i < codes.length; i++) codes[i] = toF16Bits(values[i]! / factor)
  return { bits: 16, shape, codes, scales: new Uint16Array(0), factor }
}
