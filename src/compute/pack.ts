// Weights in a file's block format → the form of MatMulNBits, exactly and without ever holding them
// as f32. w = scale·(code − zero) + offset; codes are in the order of the values, low nibble first.
// Independent of model and graph.

import { blockLayout } from '../base/dtype.ts'
import { ShapeError, UnsupportedError } from '../base/errors.ts'
import { viewBytes, f32, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { quants } from '../formats/quants/quant-table.ts'
import type { PackedArrays, Packer, UnpackedBlock } from './packing/packer.ts'
import { hasPacker, packers } from './packing/packer-table.ts'

/** Changes with the form of packed weights, so that files of an older form are made again. */
export const PACKING_VERSION = 1

export interface PackedWeight {
  readonly bits: 4 | 8
  readonly block: 16 | 32
  readonly outFeatures: number
  readonly inFeatures: number
  /** u8 [out, in/block, block·bits/8] */
  readonly codes: Tensor<Uint8Array>
  /** f32 [out·in/block] */
  readonly scales: Tensor<Float32Array>
  /** f32 [in/block, out], for formats with a minimum or an offset. */
  readonly offsets?: Tensor<Float32Array>
}

/** Whether a weight can be packed: most block formats are, as they are. */
export const isPackable = ({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>): boolean =>
  hasPacker(dtype) && shape.length === 2

/**
 * Memory that reading and packing one weight after the other uses again: what was read or packed
 * before in the same room is overwritten.
 */
export class PackRoom {
  readonly #buffers = new Map<string, ArrayBuffer>()

  takeBytes(part: string, sizeBytes: number): Uint8Array {
    return new Uint8Array(this.take(part, sizeBytes), 0, sizeBytes)
  }

  take(part: string, sizeBytes: number): ArrayBuffer {
    const known = this.#buffers.get(part)
    if (known && known.byteLength >= sizeBytes) return known
    const made = new ArrayBuffer(sizeBytes)
    this.#buffers.set(part, made)
    return made
  }
}

/** A weight whose type and bytes fit its shape. */
interface CheckedWeight {
  readonly packer: Packer
  readonly bytes: Uint8Array
  readonly outFeatures: number
  readonly inFeatures: number
  /** Of a block of the file. */
  readonly elements: number
  readonly blockBytes: number
}

/**
 * Repacks a weight [out, in]. Throws UnsupportedError if the type has no blocks, ShapeError if the
 * bytes do not fit the shape.
 */
export const packWeight = (weight: Tensor): PackedWeight => packWeights([weight])

/**
 * Repacks weights that read the same input as one: rows one after the other. They must share bits,
 * block and input width. Throws as packWeight does.
 */
export function packWeights(
  weights: readonly Tensor[],
  room: PackRoom = new PackRoom(),
): PackedWeight {
  const parts = weights.map(checkWeight)
  const [{ packer, inFeatures }] = parts as [CheckedWeight, ...CheckedWeight[]]
  const { bits, block } = packer
  const perRow = inFeatures / block
  const allRows = parts.reduce((sum, { outFeatures }) => sum + outFeatures, 0)
  const values = allRows * perRow
  const codeBytes = (allRows * inFeatures * bits) / 8
  const codes = room.takeBytes('codes', codeBytes)
  const scales = new Float32Array(room.take('scales', 4 * values), 0, values)
  const withOffsets = parts.filter((part) => part.packer.withOffsets).length
  const offsets =
    withOffsets > 0 ? new Float32Array(room.take('offsets', 4 * values), 0, values) : undefined
  if (withOffsets < parts.length) offsets?.fill(0)
  let firstRow = 0
  for (const part of parts) {
    const from = firstRow * perRow
    const blocks = part.outFeatures * perRow
    packBlocks(part, {
      codes: codes.subarray((from * block * bits) / 8, ((from + blocks) * block * bits) / 8),
      scales: scales.subarray(from, from + blocks),
      offsets,
      firstRow,
      allRows,
      perRow,
    })
    firstRow += part.outFeatures
  }
  return {
    bits,
    block,
    outFeatures: allRows,
    inFeatures,
    codes: { dtype: 'u8', shape: [allRows, perRow, (block * bits) / 8], data: codes },
    scales: f32([values], scales),
    ...(offsets && { offsets: f32([perRow, allRows], offsets) }),
  }
}

function checkWeight(weight: Tensor): CheckedWeight {
  const { dtype, shape } = weight
  const [outFeatures, inFeatures] = shape
  if (
    !hasPacker(dtype) ||
    outFeatures === undefined ||
    inFeatures === undefined ||
    shape.length !== 2
  ) {
    throw new UnsupportedError(
      `Packing a weight: got ${dtype} [${shape.join(', ')}], expected a matrix in one of the block formats ${Object.keys(packers).join(', ')}; quantise it first.`,
    )
  }
  const { elements, bytes: blockBytes } = blockLayout[dtype]
  const bytes = viewBytes(weight)
  if (
    inFeatures % elements !== 0 ||
    bytes.length !== ((outFeatures * inFeatures) / elements) * blockBytes
  ) {
    throw new ShapeError(
      `Packing a ${dtype} weight [${shape.join(', ')}]: got ${bytes.length} bytes; rows must be whole blocks of ${elements} values, ${blockBytes} bytes each.`,
    )
  }
  return { packer: packers[dtype], bytes, outFeatures, inFeatures, elements, blockBytes }
}

type OpenArrays = Omit<PackedArrays, 'codes'> & { readonly codes: Uint8Array }

function packBlocks(weight: CheckedWeight, into: OpenArrays): void {
  const { packer, bytes } = weight
  const { codes, scales, offsets, firstRow, allRows, perRow } = into
  const words = viewWords(bytes)
  if (packer.packAll && words && codes.byteOffset % 4 === 0) {
    const codeWords = new Uint32Array(codes.buffer, codes.byteOffset, codes.length / 4)
    packer.packAll(words, { codes: codeWords, scales, offsets, firstRow, allRows, perRow })
  } else unpackBlocks(weight, into)
}

/** The bytes as words of 16 bits, if they begin at an even offset. */
const viewWords = ({ buffer, byteOffset, length }: Uint8Array): Uint16Array | undefined =>
  byteOffset % 2 === 0 && length % 2 === 0
    ? new Uint16Array(buffer, byteOffset, length / 2)
    : undefined

/** Block by block. */
function unpackBlocks(
  { packer: { bits, block, unpack, withOffsets }, bytes, elements, blockBytes }: CheckedWeight,
  { codes, scales, offsets, firstRow, allRows, perRow }: OpenArrays,
): void {
  const groups = elements / block // packed blocks in one block of the file
  const unpacked: UnpackedBlock = {
    codes: new Uint8Array(elements),
    scales: new Float64Array(groups),
    offsets: new Float64Array(groups),
  }
  const count = bytes.length / blockBytes
  for (let index = 0; index < count; index++) {
    unpack(bytes, index * blockBytes, unpacked)
    writeCodes(unpacked.codes, bits, codes, (index * elements * bits) / 8)
    for (let group = 0; group < groups; group++) {
      const at = index * groups + group
      scales[at] = unpacked.scales[group]!
      if (offsets && withOffsets)
        offsets[(at % perRow) * allRows + firstRow + Math.floor(at / perRow)] =
          unpacked.offsets[group]!
    }
  }
}

function writeCodes(codes: Uint8Array, bits: 4 | 8, out: Uint8Array, at: number): void {
  if (bits === 8) out.set(codes, at)
  else
    for (let i = 0; i < codes.length; i += 2) out[at + (i >> 1)] = codes[i]! | (codes[i + 1]! << 4)
}

/**
 * An 8-bit weight as two 4-bit ones whose products add up to it, exactly: with code = 16·high +
 * low, s·(code − 128) + o = 16s·(high − 8) + s·(low − 8) + (8s + o). ONNX Runtime multiplies 4-bit
 * codes by f32 in place, but unpacks 8-bit ones at every call: the head of SmolLM2 (49,152 × 576)
 * takes 110 to 230 ms for one row, its two halves 8.
 */
export function splitHalves(packed: PackedWeight): { high: PackedWeight; low: PackedWeight } {
  const { block, outFeatures, inFeatures, codes, scales, offsets } = packed
  const perRow = inFeatures / block
  const half = (shift: number): Tensor<Uint8Array> => {
    const data = new Uint8Array(codes.data.length / 2)
    for (let i = 0; i < data.length; i++)
      data[i] =
        ((codes.data[2 * i]! >> shift) & 15) | (((codes.data[2 * i + 1]! >> shift) & 15) << 4)
    return { dtype: 'u8', shape: [outFeatures, perRow, block / 2], data }
  }
  const shifted = f32([perRow, outFeatures])
  for (let at = 0; at < scales.data.length; at++) {
    const to = (at % perRow) * outFeatures + Math.floor(at / perRow)
    shifted.data[to] = 8 * scales.data[at]! + (offsets?.data[to] ?? 0)
  }
  const form = { bits: 4, block, outFeatures, inFeatures } as const
  return {
    high: {
      ...form,
      codes: half(4),
      scales: f32(
        scales.shape,
        scales.data.map((scale) => 16 * scale),
      ),
    },
    low: { ...form, codes: half(0), scales, offsets: shifted },
  }
}

/**
 * Quantises a weight [out, in] to 4 bits (as Q4_0: blocks of 32, symmetrical) or 8 (as Q8_0).
 * Undefined if the width is no multiple of 32.
 */
export function quantizeWeight(weight: Tensor, to: 'q4' | 'q8'): Tensor<Uint8Array> | undefined {
  const dtype = to === 'q4' ? 'q4_0' : 'q8_0'
  const { elements, bytes } = blockLayout[dtype]
  if (weight.shape.length !== 2 || weight.shape[1]! % elements !== 0) return undefined
  const values = toFloat32(weight)
  const data = new Uint8Array((values.length / elements) * bytes)
  quants[dtype].quantize!(values, data)
  return { dtype, shape: weight.shape, data }
}
