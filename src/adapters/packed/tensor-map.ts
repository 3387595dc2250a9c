// The tensors of a packed adapter: a map like that of any adapter, which unpacks a tensor when its
// values are read. So all code that accepts an adapter also accepts a packed one and reads the
// exact f32 values; code that handles packed tensors directly saves memory.

import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { unpackTensor } from './fill.ts'
import {
  countHeldBytes,
  isPackedTensor,
  type PackedBits,
  type PackedTensor,
} from './packed-tensor.ts'

/** A tensor in f32 whose values are unpacked at first use, and kept as long as the tensor. */
function createUnpackedView(packed: PackedTensor): Tensor {
  let data: Float32Array | undefined
  return {
    dtype: 'f32',
    shape: packed.shape,
    get data() {
      return (data ??= unpackTensor(packed).data)
    },
  }
}

/** Maps keys to tensors; those that are packed are unpacked again for each `get`. */
export class PackedTensorMap implements ReadonlyMap<string, Tensor> {
  readonly #tensors: ReadonlyMap<string, Tensor | PackedTensor>
  /** Bits of its packed tensors; other tensors keep their types. */
  readonly bits: PackedBits

  constructor(tensors: ReadonlyMap<string, Tensor | PackedTensor>, bits: PackedBits) {
    this.#tensors = tensors
    this.bits = bits
  }

  get size(): number {
    return this.#tensors.size
  }

  has(key: string): boolean {
    return this.#tensors.has(key)
  }

  /** The tensor unpacked, or in its own type if it is not packed. */
  get(key: string): Tensor | undefined {
    const held = this.#tensors.get(key)
    return held && isPackedTensor(held) ? createUnpackedView(held) : held
  }

  /** The tensor as it is held, packed or not. */
  getHeld(key: string): Tensor | PackedTensor | undefined {
    return this.#tensors.get(key)
  }

  /** All tensors as they are held. */
  held(): ReadonlyMap<string, Tensor | PackedTensor> {
    return this.#tensors
  }

  /** Bytes of the tensors as they are held. */
  sizeBytes(): number {
    let sum = 0
    for (const tensor of this.#tensors.values()) sum += countHeldBytes(tensor)
    return sum
  }

  /** Bytes that the same tensors take unpacked. */
  unpackedBytes(): number {
    let sum = 0
    for (const tensor of this.#tensors.values())
      sum += isPackedTensor(tensor) ? 4 * sizeOf(tensor.shape) : tensor.data.byteLength
    return sum
  }

  keys(): MapIterator<string> {
    return this.#tensors.keys()
  }

  *entries(): MapIterator<[string, Tensor]> {
    for (const key of this.#tensors.keys()) yield [key, this.get(key)!]
  }

  *values(): MapIterator<Tensor> {
    for (const key of this.#tensors.keys()) yield this.get(key)!
  }

  [Symbol.iterator](): MapIterator<[string, Tensor]> {
    return this.entries()
  }

  forEach(
    visit: (tensor: Tensor, key: string, map: ReadonlyMap<string, Tensor>) => void,
    self?: unknown,
  ): void {
    for (const [key, tensor] of this) visit.call(self, tensor, key, this)
  }
}

/** Whether a value can be the tensors of an adapter: a map, or the map of a packed one. */
export const isTensorMap = (value: unknown): value is ReadonlyMap<string, Tensor> =>
  value instanceof Map || value instanceof PackedTensorMap
