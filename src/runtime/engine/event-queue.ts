// Events from the engine to the reader of an answer, in order, at the reader's pace.

export class EventQueue<Event> implements AsyncIterable<Event> {
  readonly #events: Event[] = []
  #ended: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  push(event: Event): void {
    this.#events.push(event)
    this.#wake?.()
  }

  /** No event follows; with an error the reader gets it after the events. */
  end(...error: readonly [error?: unknown]): void {
    this.#ended ??= error.length === 0 ? {} : { error: error[0] }
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void> {
    for (;;) {
      const event = this.#events.shift()
      if (event !== undefined) yield event
      else if (this.#ended) {
        if ('error' in this.#ended) throw this.#ended.error
        return
      } else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}
