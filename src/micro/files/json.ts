// A saved MicroLoRA as a JSON value: readable settings and counts, numbers in base64, a checksum
// over both.

import { FormatError } from '../../base/errors.ts'
import {
  computeStateChecksum,
  checkSavedVersion,
  formatName,
  formatVersion,
  type SavedMicroLora,
  unpack,
} from './saved.ts'
import { packMeta } from './saved-meta.ts'

export interface MicroLoraJson {
  readonly format: string
  readonly version: number
  readonly state: unknown
  /** Little-endian f32 in base64, by `<module>.<slot>`. */
  readonly tensors: Readonly<Record<string, string>>
  readonly checksum: string
}

const chunk = 8192 // arguments a call may have on every platform

function encodeBase64({ buffer, byteOffset, byteLength }: Float32Array): string {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  let text = ''
  for (let at = 0; at < bytes.length; at += chunk)
    text += String.fromCharCode(...bytes.subarray(at, at + chunk))
  return btoa(text)
}

function decodeFloats(base64: unknown, name: string): Float32Array {
  if (typeof base64 !== 'string')
    throw new FormatError(`JSON: tensors.${name}: is not base64 text.`)
  try {
    const text = atob(base64)
    const bytes = new Uint8Array(text.length)
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
    return new Float32Array(bytes.buffer)
  } catch (cause) {
    throw new FormatError(`JSON: tensors.${name}: is not base64 of 32-bit numbers.`, { cause })
  }
}

export function toJson({ meta, tensors }: SavedMicroLora): MicroLoraJson {
  const state = packMeta(meta)
  const texts: Record<string, string> = Object.create(null)
  for (const [name, values] of tensors) texts[name] = encodeBase64(values)
  return {
    format: formatName,
    version: formatVersion,
    state,
    tensors: texts,
    checksum: computeStateChecksum(state, tensors),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new FormatError(
      'JSON: cannot be parsed; it is incomplete or not JSON. Use an older copy.',
      { cause },
    )
  }
}

/**
 * From the value or its text. Throws FormatError, UnsupportedError, MismatchError, NumericError.
 */
export function fromJson(json: unknown): SavedMicroLora {
  const value = typeof json === 'string' ? parseJson(json) : json
  if (typeof value !== 'object' || value === null)
    throw new FormatError('JSON: is not a saved MicroLoRA: expected an object.')
  const { format, version, state, tensors: texts, checksum } = value as Partial<MicroLoraJson>
  checkSavedVersion('JSON', format, version)
  if (typeof texts !== 'object' || texts === null)
    throw new FormatError('JSON: tensors: are missing.')
  const tensors = new Map(
    Object.entries(texts).map(([name, text]) => [name, decodeFloats(text, name)]),
  )
  return unpack(JSON.parse(JSON.stringify(state ?? null)), tensors, checksum, 'JSON')
}
