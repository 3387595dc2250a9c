// Keys and values in memory: 32-bit floats, 16-bit floats as raw bits, or bytes of coded vectors.
// Independent of layouts.

import { getF16Values, toF16Bits } from '../../../formats/half.ts'
import type { KvElement } from '../../programs/cached-graph.ts'

export type { KvElement } from '../../programs/cached-graph.ts'

export type KvValues = Float32Array | Uint16Array | Int8Array

const arrayTypes = { f32: Float32Array, f16: Uint16Array, int8: Int8Array } as const

export const countElementBytes = (element: KvElement): number =>
  arrayTypes[element].BYTES_PER_ELEMENT

/** Numbers over `length` elements of the buffer. */
export const viewValues = (
  element: KvElement,
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
): KvValues => new arrayTypes[element](buffer as ArrayBuffer, offset, length)

export const createValues = (element: KvElement, length: number): KvValues =>
  new arrayTypes[element](length)

/** The same memory as bytes. */
export const viewElementBytes = ({ buffer, byteOffset, byteLength }: KvValues): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

export const elementOf = (values: KvValues): KvElement =>
  values instanceof Float32Array ? 'f32' : values instanceof Uint16Array ? 'f16' : 'int8'

/** Writes all of `source` into `target`, which may be floats of the other length. */
export function convertValues(source: KvValues, target: KvValues): void {
  if (source instanceof Float32Array && target instanceof Uint16Array) roundToF16(source, target)
  else if (source instanceof Uint16Array && target instanceof Float32Array)
    widenToF32(source, target)
  else target.set(source)
}

const LARGEST_F16 = 0x7bff // 65,504

/**
 * To nearest even. Numbers beyond ±65,504 become ±65,504, because infinity times a masked weight of
 * 0 is NaN.
 */
function roundToF16(source: Float32Array, target: Uint16Array): void {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  for (let i = 0; i < bits.length; i++) {
    const all = bits[i]!
    const size = all & 0x7fffffff
    target[i] =
      size >= 0x38800000 && size < 0x477fe000
        ? ((all >>> 16) & 0x8000) | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
        : roundOddToF16(source[i]!)
  }
}

/** Small, large, infinite or not a number. */
function roundOddToF16(value: number): number {
  const bits = toF16Bits(value)
  return (bits & 0x7fff) === 0x7c00 ? (bits & 0x8000) | LARGEST_F16 : bits
}

function widenToF32(source: Uint16Array, target: Float32Array): void {
  const table = getF16Values()
  for (let i = 0; i < source.length; i++) target[i] = table[source[i]!]!
}
