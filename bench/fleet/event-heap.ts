// Items by time, the earliest first: a binary heap over two arrays.

export class EventHeap<Item> {
  readonly #times: number[] = []
  readonly #items: Item[] = []

  /** The earliest time; Infinity where nothing is left. */
  get next(): number {
    return this.#times[0] ?? Infinity
  }

  push(time: number, item: Item): void {
    const times = this.#times
    const items = this.#items
    let at = times.length
    while (at > 0) {
      const up = (at - 1) >> 1
      if (times[up]! <= time) break
      times[at] = times[up]!
      items[at] = items[up]!
      at = up
    }
    times[at] = time
    items[at] = item
  }

  /** Takes the earliest item. */
  pop(): Item {
    const times = this.#times
    const items = this.#items
    const first = items[0]!
    const time = times.pop()!
    const item = items.pop()!
    if (times.length > 0) this.#sink(time, item)
    return first
  }

  #sink(time: number, item: Item): void {
    const times = this.#times
    const items = this.#items
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= times.length) break
      if (down + 1 < times.length && times[down + 1]! < times[down]!) down++
      if (times[down]! >= time) break
      times[at] = times[down]!
      items[at] = items[down]!
      at = down
    }
    times[at] = time
    items[at] = item
  }
}
