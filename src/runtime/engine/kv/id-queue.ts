// Ids in the order in which they were added; any of them can be taken out in constant time.

export class IdQueue {
  // a ring of links; the place behind the last id is its head
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #head: number
  #size = 0

  /** For ids below `capacity`. */
  constructor(capacity: number) {
    this.#next = new Int32Array(capacity + 1).fill(capacity)
    this.#previous = new Int32Array(capacity + 1).fill(capacity)
    this.#head = capacity
  }

  get size(): number {
    return this.#size
  }

  /** The id that was added first; undefined if there is none. */
  get first(): number | undefined {
    return this.#size === 0 ? undefined : this.#next[this.#head]
  }

  /** Adds an id that is not in the queue. */
  add(id: number): void {
    const last = this.#previous[this.#head]!
    this.#next[last] = id
    this.#previous[id] = last
    this.#next[id] = this.#head
    this.#previous[this.#head] = id
    this.#size++
  }

  /** Takes out an id that is in the queue. */
  remove(id: number): void {
    const before = this.#previous[id]!
    const after = this.#next[id]!
    this.#next[before] = after
    this.#previous[after] = before
    this.#size--
  }
}
