// Arrays of one length that grow without a copy, because their buffers reserve addresses in
// advance. Memory is allocated when it is written to. Independent of the arrays' contents.

import { countElementBytes, type KvElement, type KvValues, viewValues } from './values.ts'

export class GrowingArrays {
  readonly #element: KvElement
  readonly #buffers: ArrayBuffer[]
  readonly #values: KvValues[]

  constructor(element: KvElement, count: number) {
    this.#element = element
    this.#buffers = Array.from({ length: count }, () => new ArrayBuffer(0))
    this.#values = this.#buffers.map((buffer) => viewValues(element, buffer, 0, 0))
  }

  /** New views after every change of length. */
  get values(): readonly KvValues[] {
    return this.#values
  }

  /** Whether `grow` to this length needs no new buffers. */
  canGrow(length: number): boolean {
    return length * countElementBytes(this.#element) <= this.#buffers[0]!.maxByteLength
  }

  /**
   * Makes every array `length` elements long and keeps its values. New buffers reserve at most
   * `reserved` elements. Throws RangeError, and changes no view, if there is no memory.
   */
  grow(length: number, reserved: number): void {
    const bytes = length * countElementBytes(this.#element)
    const most = reserved * countElementBytes(this.#element)
    const grown = this.#buffers.map((buffer) => extendBuffer(buffer, bytes, most))
    grown.forEach((buffer, i) => {
      const values = viewValues(this.#element, buffer, 0, length)
      if (buffer !== this.#buffers[i]) values.set(this.#values[i]!)
      this.#buffers[i] = buffer
      this.#values[i] = values
    })
  }

  /** Empties the arrays; the buffers are the caller's to free. */
  release(): readonly ArrayBuffer[] {
    const released = this.#buffers.slice()
    for (const i of released.keys()) {
      this.#buffers[i] = new ArrayBuffer(0)
      this.#values[i] = viewValues(this.#element, this.#buffers[i]!, 0, 0)
    }
    return released
  }
}

function extendBuffer(buffer: ArrayBuffer, bytes: number, reserved: number): ArrayBuffer {
  if (bytes > buffer.maxByteLength) return createBuffer(bytes, reserved)
  if (bytes > buffer.byteLength) buffer.resize(bytes)
  return buffer
}

function createBuffer(bytes: number, reserved: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes, { maxByteLength: Math.max(bytes, reserved) })
  } catch {
    return new ArrayBuffer(bytes) // not enough addresses: later growth copies
  }
}
