// Which slot has which token's row; where none is free, the least recently used are evicted.
// Independent of: the rows themselves.

export class RowSlots {
  readonly #capacity: number
  readonly #slots = new Map<number, number>()
  readonly #free: number[]
  readonly #usedAt: Float64Array
  #now = 0

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#usedAt = new Float64Array(capacity)
    this.#free = Array.from({ length: capacity }, (_, slot) => capacity - 1 - slot)
  }

  /** Starts a call; slots that it uses are marked with the number returned. */
  startCall(): number {
    return ++this.#now
  }

  find(token: number): number | undefined {
    return this.#slots.get(token)
  }

  /** Marks a slot as used by this call; false if the call has used it before. */
  use(slot: number, call: number): boolean {
    if (this.#usedAt[slot] === call) return false
    this.#usedAt[slot] = call
    return true
  }

  /**
   * A slot for each token, marked as used by the last call. Undefined, and nothing is changed,
   * where slots of tokens that this call used would have to be evicted.
   */
  assign(tokens: readonly number[]): number[] | undefined {
    const added = new Set(tokens.filter((token) => !this.#slots.has(token)))
    if (!this.#reserve(added.size)) return undefined
    return tokens.map((token) => {
      const slot = this.#slots.get(token) ?? this.#free.pop()!
      this.#slots.set(token, slot)
      this.#usedAt[slot] = this.#now
      return slot
    })
  }

  /** Evicts an eighth of all slots at a time, so that the oldest are not sought at every call. */
  #reserve(count: number): boolean {
    if (this.#free.length >= count) return true
    const old = [...this.#slots]
      .filter(([, slot]) => this.#usedAt[slot]! < this.#now)
      .toSorted(([, a], [, b]) => this.#usedAt[a]! - this.#usedAt[b]!)
    const wanted = count - this.#free.length
    if (old.length < wanted) return false
    for (const [token, slot] of old.slice(0, Math.max(wanted, this.#capacity >> 3))) {
      this.#slots.delete(token)
      this.#free.push(slot)
    }
    return true
  }
}
