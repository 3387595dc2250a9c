// Adapters that stay packed in memory: a quarter (8 bits), an eighth (4) or half (16) of the bytes
// of f32. Independent of files and programs.

import { OptionError } from '../../base/errors.ts'
import { checkOptions, oneOf } from '../../base/schema.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { type Adapter } from '../adapter.ts'
import { findBaseCopyPath } from '../base-copy.ts'
import { getSavedPath } from '../keys.ts'
import { getKind } from '../kinds/kind-table.ts'
import { tokenRowsName } from '../trainable-tokens.ts'
import { unpackTensor } from './fill.ts'
import {
  isPackedTensor,
  packedBits,
  type PackedBits,
  type PackedTensor,
  packTensor,
} from './packed-tensor.ts'
import { PackedTensorMap } from './tensor-map.ts'

/**
 * An adapter whose matrices are packed. It is served, merged, trained and saved like any other:
 * each use unpacks what it reads. Its size in memory is `tensors.sizeBytes()`.
 */
export interface PackedAdapter extends Adapter {
  readonly tensors: PackedTensorMap
}

export const isPackedAdapter = (adapter: Adapter): adapter is PackedAdapter =>
  adapter.tensors instanceof PackedTensorMap

export interface PackAdapterOptions {
  /** 16 (f16 with a power of two for each tensor), 8 or 4 (the codes of int8 and int4 files). */
  readonly bits: PackedBits
}

/**
 * Whether a tensor is never rounded to 8 or 4 bits. Only low-rank matrices are. Vectors, factors
 * near one and modules that are saved whole act on the base's values directly: a rounding error of
 * some percent would exceed the adapter's whole effect.
 */
export function shouldKeepType(
  { kind, config: { modulesToSave = [], embeddings = [] } }: Pick<Adapter, 'kind' | 'config'>,
  key: string,
  { shape }: Pick<Tensor, 'shape'>,
): boolean {
  if (shape.length !== 2 || sizeOf(shape) === 0 || findBaseCopyPath(key) !== undefined) return true
  const module = getSavedPath(key)
  return (
    key.endsWith(tokenRowsName) ||
    embeddings.includes(module) ||
    modulesToSave.some((saved) => module.endsWith(saved)) ||
    (getKind(kind).factors ?? []).some((factor) => key.endsWith(factor))
  )
}

/**
 * The adapter with its low-rank matrices packed; other tensors keep their type, and so do 16-bit
 * ones if `bits` is 16. An adapter that is already packed in this way is returned unchanged. The
 * given adapter is not changed. Throws OptionError for other bits, NumericError that names the
 * tensor for NaN and infinity.
 */
export function packAdapter<Of extends Adapter>(
  adapter: Of,
  options: PackAdapterOptions,
): Of & PackedAdapter {
  checkOptions('packAdapter options', options, { bits: oneOf(packedBits) })
  const { bits } = options
  if (bits === undefined)
    throw new OptionError('packAdapter options: bits is missing; expected 16, 8 or 4.')
  if (isPackedAdapter(adapter) && adapter.tensors.bits === bits) return adapter
  const packed = new Map<string, Tensor | PackedTensor>()
  for (const [key, tensor] of adapter.tensors) {
    const has16 = bits === 16 && (tensor.dtype === 'f16' || tensor.dtype === 'bf16')
    const keeps = has16 || shouldKeepType(adapter, key, tensor)
    packed.set(key, keeps ? tensor : packTensor(tensor, bits, key))
  }
  return { ...adapter, tensors: new PackedTensorMap(packed, bits) }
}

/** The adapter with all tensors unpacked to f32. */
export function unpackAdapter<Of extends Adapter>(adapter: Of): Of {
  if (!isPackedAdapter(adapter)) return adapter
  const tensors = [...adapter.tensors.held()].map(([key, held]): [string, Tensor] => [
    key,
    isPackedTensor(held) ? unpackTensor(held) : held,
  ])
  return { ...adapter, tensors: new Map(tensors) }
}

/** Bytes of an adapter's tensors in memory, packed or not. */
export function countAdapterBytes(adapter: Adapter): number {
  if (isPackedAdapter(adapter)) return adapter.tensors.sizeBytes()
  let sum = 0
  for (const { data } of adapter.tensors.values()) sum += data.byteLength
  return sum
}
