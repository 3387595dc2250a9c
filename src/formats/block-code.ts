// Numbers as small whole codes with a scale for every 64 of them: how adapters are kept in 8 and 4
// bits. Independent of files and adapters.
//
//     value[i] = scale[⌊i/64⌋]·code[i]     int8: code −127 … 127     int4: code −8 … 7     scale: bf16, of either sign
//
// i counts the values in row-major order. 4-bit codes are packed two per byte as code + 8, the
// first in the low half. Why these: docs/decisions/0011-adapters-in-8-and-4-bits.md.

import { assertInternal } from '../base/errors.ts'
import { toBf16Bits } from './half.ts'

export const blockValues = 64

/** f32 takes 4 bytes a value; int8 1.03, int4 0.53. */
export type BlockCodeName = 'int8' | 'int4'

export interface BlockCode {
  /** Element type of the array of codes. */
  readonly dtype: 'i8' | 'u8'
  readonly codesPerByte: 1 | 2
  readonly least: number
  readonly most: number
  /** What the search for a scale begins with, as shares of the largest magnitude. */
  readonly initialScales: readonly number[]
  /** How often codes and scale take turns. */
  readonly rounds: number
}

export const blockCodes: Readonly<Record<BlockCodeName, BlockCode>> = {
  int8: {
    dtype: 'i8',
    codesPerByte: 1,
    least: -127,
    most: 127,
    initialScales: [1 / 127],
    rounds: 1,
  },
  // Sixteen codes have one more on one side: which one is a matter of the sign. Cutting the largest
  // values by 15 % may serve the others better.
  int4: {
    dtype: 'u8',
    codesPerByte: 2,
    least: -8,
    most: 7,
    initialScales: [1 / 8, -1 / 8, 0.85 / 8, -0.85 / 8],
    rounds: 3,
  },
}

export interface EncodedBlocks {
  /** int8: Int8Array [values]. int4: Uint8Array [⌈values/2⌉]. */
  readonly codes: Int8Array | Uint8Array
  /** bf16 bits, [⌈values/64⌉] */
  readonly scales: Uint16Array
}

/** Bytes of the codes, and number of scales, that so many values take. */
export const computeBlockSizes = (
  { codesPerByte }: BlockCode,
  values: number,
): { codeBytes: number; scales: number } => ({
  codeBytes: Math.ceil(values / codesPerByte),
  scales: Math.ceil(values / blockValues),
})

/** The values in blocks. They must be finite: no code represents anything else. */
export function encodeBlocks(code: BlockCode, values: Float32Array): EncodedBlocks {
  const { least, most, codesPerByte } = code
  const { codeBytes, scales: count } = computeBlockSizes(code, values.length)
  const codes = code.dtype === 'i8' ? new Int8Array(codeBytes) : new Uint8Array(codeBytes)
  const scales = new Uint16Array(count)
  for (let block = 0; block < count; block++) {
    const from = block * blockValues
    const to = Math.min(values.length, from + blockValues)
    const scale = fitScale(code, values, from, to)
    const inverse = scale === 0 ? 0 : 1 / scale
    scales[block] = toBf16Bits(scale)
    for (let i = from; i < to; i++) {
      const chosen = roundToCode(values[i]! * inverse, least, most)
      if (codesPerByte === 1) codes[i] = chosen
      else codes[i >> 1]! |= (chosen + 8) << (4 * (i & 1))
    }
  }
  return { codes, scales }
}

const roundToCode = (scaled: number, least: number, most: number): number =>
  Math.max(least, Math.min(most, Math.floor(scaled + 0.5)))

/**
 * The scale, as bf16 can hold it, with the smallest sum of squared errors that was found: from each
 * start, the nearest codes, then the scale Σ value·code / Σ code² that is best for those, and so
 * on. 0 for a block of zeros and for numbers too small for any scale.
 */
function fitScale(
  { least, most, initialScales, rounds }: BlockCode,
  values: Float32Array,
  from: number,
  to: number,
): number {
  let largest = 0
  for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(values[i]!))
  assertInternal(Number.isFinite(largest), 'NaN or infinity on its way into blocks of whole codes')
  let best = 0
  let smallest = Infinity
  for (const start of initialScales) {
    let scale = roundToBf16(largest * start)
    for (let turn = 0; turn < rounds && Math.abs(scale) > tiniestScale; turn++) {
      const inverse = 1 / scale
      let error = 0
      let product = 0
      let squares = 0
      for (let i = from; i < to; i++) {
        const scaled = values[i]! * inverse
        const code = roundToCode(scaled, least, most)
        error += (scaled - code) * (scaled - code)
        product += scaled * code
        squares += code * code
      }
      error *= scale * scale
      if (error < smallest) {
        best = scale
        smallest = error
      }
      scale = roundToBf16((scale * product) / squares)
    }
  }
  return best
}

const tiniestScale = 1e-37 // below it bf16 has fewer digits, and 1/scale may be infinite

const view = new DataView(new ArrayBuffer(4))
const decodeBf16 = (bits: number): number => {
  view.setUint32(0, bits << 16)
  return view.getFloat32(0)
}
const roundToBf16 = (value: number): number => decodeBf16(toBf16Bits(value))

/** The values of blocks; `values` is how many. Lengths are the caller's to check. */
export function decodeBlocks(
  { codesPerByte }: BlockCode,
  { codes, scales }: EncodedBlocks,
  values: number,
): Float32Array {
  const result = new Float32Array(values)
  for (let i = 0; i < values; i++) {
    const code = codesPerByte === 1 ? codes[i]! : ((codes[i >> 1]! >> (4 * (i & 1))) & 15) - 8
    result[i] = code
  }
  for (let block = 0; block < scales.length; block++) {
    const scale = decodeBf16(scales[block]!)
    const end = Math.min(values, (block + 1) * blockValues)
    for (let i = block * blockValues; i < end; i++) result[i]! *= scale
  }
  return result
}

/** Numbers of the blocks whose scale is NaN or infinite. */
export const listBadScales = (scales: Uint16Array): number[] =>
  [...scales.keys()].filter((block) => (scales[block]! & 0x7f80) === 0x7f80)
