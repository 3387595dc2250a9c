// Writes safetensors files as a stream of chunks, laid out as the reference library lays them out.
// The whole file is never in memory.

import { countBytes, type DType, isBlockType, type PlainType } from '../../base/dtype.ts'
import { OptionError, ShapeError, UnsupportedError } from '../../base/errors.ts'
import { viewBytes, sizeOf, type Tensor } from '../../base/tensor.ts'
import { quoteName } from '../quote.ts'
import { safetensorsNames } from './types.ts'

export interface TensorHeader {
  readonly dtype: DType
  readonly shape: readonly number[]
}

/**
 * The file's chunks: the header, then each tensor's bytes as a view, not copied. Order: widest
 * element type first, then by name. Everything is checked before the first chunk: throws
 * UnsupportedError for block formats, ShapeError where data and shape disagree.
 */
export function* encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: Readonly<Record<string, string>>,
): Generator<Uint8Array> {
  for (const [name, { dtype, shape, data }] of tensors) {
    const expected = countBytes(dtype, sizeOf(shape))
    if (data.byteLength !== expected) {
      throw new ShapeError(
        `tensor ${quoteName(name)}: got ${data.byteLength} bytes, expected ${expected} for ${dtype} [${shape.join(', ')}].`,
      )
    }
  }
  const { bytes, order } = encodeSafetensorsHeader(tensors, metadata)
  yield bytes
  for (const name of order) yield viewBytes(tensors.get(name)!)
}

/**
 * The header's bytes with its length in front, and the order in which the tensors' bytes must
 * follow.
 */
export function encodeSafetensorsHeader(
  tensors: ReadonlyMap<string, TensorHeader>,
  metadata?: Readonly<Record<string, string>>,
): { bytes: Uint8Array; order: string[] } {
  const ranks = new Map(Object.keys(safetensorsNames).map((dtype, rank) => [dtype, rank]))
  const entries = [...tensors].map(([name, { dtype, shape }]) => ({
    name,
    shape,
    dtype: checkPlainType(name, dtype),
  }))
  entries.sort((a, b) => ranks.get(a.dtype)! - ranks.get(b.dtype)! || (a.name < b.name ? -1 : 1))
  let position = 0
  const parts = entries.map(({ name, dtype, shape }) => {
    const begin = position
    position += countBytes(dtype, sizeOf(shape))
    // Written by hand: an object literal would lose a tensor that is called "__proto__" and move
    // numeric names to the front.
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: safetensorsNames[dtype], shape, data_offsets: [begin, position] })}`
  })
  if (metadata) parts.unshift(`"__metadata__":${JSON.stringify(metadata)}`)
  const json = new TextEncoder().encode(`{${parts.join(',')}}`)
  const paddedBytes = Math.ceil(json.length / 8) * 8 // keeps the tensors' bytes aligned for views
  const bytes = new Uint8Array(8 + paddedBytes).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(paddedBytes), true)
  bytes.set(json, 8)
  return { bytes, order: entries.map(({ name }) => name) }
}

function checkPlainType(name: string, dtype: DType): PlainType {
  if (name === '__metadata__')
    throw new OptionError(
      'a safetensors file cannot hold a tensor called "__metadata__"; choose another name.',
    )
  if (isBlockType(dtype)) {
    throw new UnsupportedError(
      `tensor ${quoteName(name)}: safetensors cannot hold ${dtype} blocks; convert it to f32, f16 or bf16 first.`,
    )
  }
  return dtype
}
