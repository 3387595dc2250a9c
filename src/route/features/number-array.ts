// Arrays of numbers in a router's JSON file: base64 of 32-bit or 16-bit floats, of 8-bit integers
// with a scale for each row, or of 32-bit integers, little-endian, with their shape.

import { FormatError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { describeValue, isRecord } from '../../base/schema.ts'

export interface NumberArray {
  readonly dtype: 'f32' | 'f16' | 'i8' | 'i32'
  readonly shape: readonly number[]
  readonly base64: string
  /** Of i8, one for each row: value = integer · scale. */
  readonly scales?: string
}

/** Characters of a part: `String.fromCharCode` takes its bytes as arguments. */
const partBytes = 0x2000

function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (let start = 0; start < bytes.length; start += partBytes)
    text += String.fromCharCode(...bytes.subarray(start, start + partBytes))
  return btoa(text)
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
/** The six bits of a character; 255: none. */
const sixBits = new Uint8Array(128).fill(255)
for (let i = 0; i < letters.length; i++) sixBits[letters.charCodeAt(i)] = i

/** Four times as fast as atob and a copy. Throws for a string that is not base64. */
function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const count = text.length - padding
  const bytes = new Uint8Array(Math.floor((count * 3) / 4))
  let held = 0
  let bits = 0
  let at = 0
  let wrong = text.length % 4
  for (let i = 0; i < count; i++) {
    const six = sixBits[text.charCodeAt(i)] ?? 255
    wrong |= six & 128
    held = (held << 6) | six
    bits += 6
    if (bits < 8) continue
    bits -= 8
    bytes[at++] = held >> bits
    held &= 255
  }
  if (wrong !== 0) throw new RangeError('no base64')
  return bytes
}

const viewRaw = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)

/** Numbers as 'f32' (exact) or 'f16' (11 bits). */
export function writeNumbers(
  values: Float32Array,
  shape: readonly number[],
  dtype: 'f32' | 'f16' = 'f32',
): NumberArray {
  const raw = dtype === 'f32' ? values : Float16Array.from(values)
  return { dtype, shape, base64: encodeBase64(viewRaw(raw)) }
}

export const writeIntegers = (values: Int32Array): NumberArray => ({
  dtype: 'i32',
  shape: [values.length],
  base64: encodeBase64(viewRaw(values)),
})

/** A matrix in 8 bits: each row's largest value becomes 127. */
export function writeBytes(
  values: Float32Array,
  [rows, columns]: readonly [number, number],
): NumberArray {
  const bytes = new Int8Array(values.length)
  const scales = new Float32Array(rows)
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * columns, (row + 1) * columns)
    const most = part.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    scales[row] = most / 127
    if (most > 0)
      part.forEach((value, i) => (bytes[row * columns + i] = Math.round((value / most) * 127)))
  }
  return {
    dtype: 'i8',
    shape: [rows, columns],
    base64: encodeBase64(viewRaw(bytes)),
    scales: encodeBase64(viewRaw(scales)),
  }
}

const widths = { f32: 4, f16: 2, i8: 1, i32: 4 } as const

/** Bytes of a part that must have this many numbers. Throws FormatError. */
function readBytes(text: unknown, count: number, width: number, name: string): ArrayBuffer {
  if (typeof text !== 'string')
    throw new FormatError(`${name}: got ${describeValue(text)}, expected base64.`)
  let bytes: Uint8Array<ArrayBuffer>
  try {
    bytes = decodeBase64(text)
  } catch (cause) {
    throw new FormatError(`${name}: is not base64.`, { cause })
  }
  if (bytes.length !== count * width)
    throw new FormatError(`${name}: has ${bytes.length} bytes, expected ${count * width}.`)
  return bytes.buffer
}

function checkArray(value: unknown, rank: number, name: string): asserts value is NumberArray {
  const isRight =
    isRecord(value) &&
    Object.hasOwn(widths, String(value['dtype'])) &&
    Array.isArray(value['shape']) &&
    value['shape'].length === rank &&
    value['shape'].every((size) => Number.isSafeInteger(size) && size >= 0)
  if (!isRight)
    throw new FormatError(
      `${name}: got ${describeValue(value)}, expected numbers with a dtype and a shape of ${rank} ${rank === 1 ? 'size' : 'sizes'}.`,
    )
}

export interface ReadNumbers {
  readonly data: Float32Array
  readonly shape: readonly number[]
}

/** Reads what `writeNumbers` and `writeBytes` wrote. Throws FormatError, also for NaN. */
export function readNumbers(value: unknown, rank: number, name: string): ReadNumbers {
  checkArray(value, rank, name)
  const { dtype, shape, base64, scales } = value
  const count = shape.reduce((product, size) => product * size, 1)
  const bytes = readBytes(base64, count, widths[dtype], name)
  const data =
    dtype === 'f32'
      ? new Float32Array(bytes)
      : dtype === 'f16'
        ? Float32Array.from(new Float16Array(bytes))
        : dtype === 'i8'
          ? scaleBytes(
              new Int8Array(bytes),
              new Float32Array(readBytes(scales, shape[0]!, 4, `${name}.scales`)),
            )
          : Float32Array.from(new Int32Array(bytes))
  if (!isAllFinite(data)) throw new FormatError(`${name}: contains a value that is not finite.`)
  return { data, shape }
}

function scaleBytes(bytes: Int8Array, scales: Float32Array): Float32Array {
  const columns = bytes.length / Math.max(1, scales.length)
  const out = new Float32Array(bytes.length)
  for (let row = 0, at = 0; row < scales.length; row++) {
    const scale = scales[row]!
    for (const end = at + columns; at < end; at++) out[at] = bytes[at]! * scale
  }
  return out
}

/** Reads what `writeIntegers` wrote. Throws FormatError. */
export function readIntegers(value: unknown, name: string): Int32Array {
  checkArray(value, 1, name)
  if (value.dtype !== 'i32')
    throw new FormatError(`${name}: got numbers of ${value.dtype}, expected i32.`)
  return new Int32Array(readBytes(value.base64, value.shape[0]!, 4, name))
}
