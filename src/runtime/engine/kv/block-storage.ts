// The contents of sealed blocks, apart from the rows they came from. Slabs of about 16 MiB are
// allocated when blocks need them and dropped when their last block goes. Independent of keys.

import { assertInternal } from '../../../base/errors.ts'
import { countElementBytes, createValues, type KvElement, type KvValues } from './values.ts'

const SLAB_BYTES = 2 ** 24

interface Slab {
  readonly values: KvValues
  /** Places without a block. */
  readonly free: number[]
}

interface StoredPlace {
  readonly slab: Slab
  readonly place: number
}

export class BlockStorage {
  readonly #element: KvElement
  readonly #blockLength: number
  readonly #slabBlocks: number
  readonly #slabs = new Set<Slab>()
  readonly #places = new Map<number, StoredPlace>()

  /** `blockLength`: elements of one block. */
  constructor(element: KvElement, blockLength: number) {
    this.#element = element
    this.#blockLength = blockLength
    this.#slabBlocks = Math.max(1, Math.floor(SLAB_BYTES / this.blockBytes))
  }

  get blockBytes(): number {
    return this.#blockLength * countElementBytes(this.#element)
  }
  /** Blocks that are stored. */
  get count(): number {
    return this.#places.size
  }
  get sizeBytes(): number {
    return this.#slabs.size * this.#slabBlocks * this.blockBytes
  }

  /** Room for the block `id`, to be written to; its contents are undefined. */
  add(id: number): KvValues {
    assertInternal(!this.#places.has(id), `block ${id} is stored twice`)
    const slab = this.#findSlab() ?? this.#addSlab()
    const place = slab.free.pop()!
    this.#places.set(id, { slab, place })
    return this.#view(slab, place)
  }

  /** The block's values: a view. */
  get(id: number): KvValues {
    const found = this.#places.get(id)
    assertInternal(found, `block ${id} is not stored`)
    return this.#view(found.slab, found.place)
  }

  remove(id: number): void {
    const found = this.#places.get(id)
    assertInternal(found, `block ${id} is not stored`)
    const { slab, place } = found
    this.#places.delete(id)
    slab.free.push(place)
    if (slab.free.length === this.#slabBlocks) this.#slabs.delete(slab)
  }

  /** The same, and overwrites the contents, so that nothing of them stays in memory. */
  erase(id: number): void {
    this.get(id).fill(0)
    this.remove(id)
  }

  #view(slab: Slab, place: number): KvValues {
    return slab.values.subarray(place * this.#blockLength, (place + 1) * this.#blockLength)
  }

  /** The oldest slab with room, so that newer ones become empty sooner. */
  #findSlab(): Slab | undefined {
    for (const slab of this.#slabs) if (slab.free.length > 0) return slab
    return undefined
  }

  #addSlab(): Slab {
    const free = Array.from({ length: this.#slabBlocks }, (_, i) => this.#slabBlocks - 1 - i)
    const slab = { values: createValues(this.#element, this.#slabBlocks * this.#blockLength), free }
    this.#slabs.add(slab)
    return slab
  }
}
