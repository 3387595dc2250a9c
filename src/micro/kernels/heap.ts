// One growing block of f32 values that many adapters share: places are handed out, given back and
// joined again. Knows nothing of what lies there.

import { assertInternal, OptionError } from '../../base/errors.ts'

/**
 * Where the values are. `grow` keeps what is there; arrays made before it may be dead afterwards.
 */
export interface GrowingBlock {
  array(): Float32Array
  grow(floats: number): void
}

/** Without WebAssembly: an array that is copied into a larger one. */
export function createPlainBlock(): GrowingBlock {
  let values = new Float32Array(16384)
  return {
    array: () => values,
    grow(floats) {
      const next = new Float32Array(floats)
      next.set(values)
      values = next
    },
  }
}

/**
 * What somebody no longer holds goes back to its heap, also where nobody called `dispose`: register
 * it with a function that does not hold it.
 */
export const releaseRegistry = new FinalizationRegistry<() => void>((release) => release())

interface Gap {
  start: number
  end: number
}

const line = 16 // floats: places start at a multiple of 64 bytes, a line of the processor's cache
const roundUp = (floats: number): number => Math.ceil(floats / line) * line

/** Hands out places in a growing block. */
export class Heap {
  readonly #block: GrowingBlock
  #gaps: Gap[]
  #size: number
  #used = 0

  constructor(block: GrowingBlock) {
    this.#block = block
    this.#size = block.array().length
    this.#gaps = [{ start: line, end: this.#size }] // place 0 means "none" to the kernels
  }

  /** The values as they are now; look again after every `allocate`, which may move them. */
  array(): Float32Array {
    return this.#block.array()
  }

  /** Bytes handed out. */
  get usedBytes(): number {
    return this.#used * 4
  }

  /** Bytes the block holds, handed out or not. */
  get sizeBytes(): number {
    return this.#size * 4
  }

  /**
   * A place for so many values, all zero. Throws OptionError where the platform has no more memory.
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

  /** Gives a place back. */
  release(place: number, floats: number): void {
    const size = roundUp(floats)
    this.#used -= size
    this.#addGap({ start: place, end: place + size })
  }

  #grow(size: number): Gap {
    const before = this.#size
    const wanted = before + Math.max(size, before)
    try {
      this.#block.grow(wanted)
    } catch (cause) {
      throw new OptionError(
        `MicroLoRA: no memory for ${wanted * 4} bytes. Dispose of adapters that are not in use.`,
        { cause },
      )
    }
    this.#size = this.#block.array().length
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
