// One growing memory of f32 values that many adapters share: places are allocated, released and
// joined again. Independent of: what is stored there.

import { assertInternal, OptionError } from '../../base/errors.ts'
import type { GrowingMemory } from '../../base/wasm.ts'

/**
 * Releases the memory of objects that were collected without `dispose`: register an object with a
 * function that has no reference to it.
 */
export const releaseRegistry = new FinalizationRegistry<() => void>((release) => release())

interface Gap {
  start: number
  end: number
}

const line = 16 // floats: places start at a multiple of 64 bytes, a line of the processor's cache
const roundUp = (floats: number): number => Math.ceil(floats / line) * line

/** Allocates places in a growing memory. */
export class Heap {
  readonly #memory: GrowingMemory
  #values: Float32Array
  #gaps: Gap[]
  #size: number
  #used = 0

  constructor(memory: GrowingMemory) {
    this.#memory = memory
    this.#values = new Float32Array(memory.buffer)
    this.#size = this.#values.length
    this.#gaps = [{ start: line, end: this.#size }] // place 0 means "none" to the kernels
  }

  /** All values. `allocate` may replace the array, so it is looked up again afterwards. */
  array(): Float32Array {
    return this.#values
  }

  /** Bytes allocated. */
  get usedBytes(): number {
    return this.#used * 4
  }

  /** Bytes of the memory, allocated or not. */
  get sizeBytes(): number {
    return this.#size * 4
  }

  /**
   * A place for so many values, all zero. Throws OptionError if the platform has no more memory.
   */
  allocate(floats: number): number {
    const size = roundUp(floats)
    const found = this.#gaps.find(({ start, end }) => end - start >= size) ?? this.#grow(size)
    const place = found.start
    found.start += size
    if (found.start === found.end) this.#gaps.splice(this.#gaps.indexOf(found), 1)
    this.#used += size
    this.array().fill(0, place, place + size)
    return place
  }

  /** Frees a place. */
  release(place: number, floats: number): void {
    const size = roundUp(floats)
    this.#used -= size
    this.#addGap({ start: place, end: place + size })
  }

  #grow(size: number): Gap {
    const before = this.#size
    const wanted = before + Math.max(size, before)
    try {
      this.#memory.reserve(4 * wanted)
    } catch (cause) {
      throw new OptionError(
        `MicroLoRA: no memory for ${wanted * 4} bytes. Dispose of adapters that are not in use.`,
        { cause },
      )
    }
    this.#values = new Float32Array(this.#memory.buffer)
    this.#size = this.#values.length
    return this.#addGap({ start: before, end: this.#size })
  }

  #addGap(gap: Gap): Gap {
    const after = this.#gaps.findIndex(({ start }) => start >= gap.end)
    const at = after === -1 ? this.#gaps.length : after
    const left = this.#gaps[at - 1]
    const right = this.#gaps[at]
    assertInternal(!left || left.end <= gap.start, 'a place was given back twice')
    if (left?.end === gap.start) {
      left.end = gap.end
      if (right?.start === left.end) {
        left.end = right.end
        this.#gaps.splice(at, 1)
      }
      return left
    }
    if (right?.start === gap.end) {
      right.start = gap.start
      return right
    }
    this.#gaps.splice(at, 0, gap)
    return gap
  }
}
