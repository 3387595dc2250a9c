// A sequence of values from the other side, as an async generator: begun at the first `next`, with
// values sent ahead up to a limit, ended on the other side when the reader leaves.

/** Receives the answers to one call. */
export interface Reply {
  onResult?(value: unknown): void
  onItem?(value: unknown): void
  onEnd?(): void
  onError(error: unknown): void
}

/** The messages of a reader to the other side. */
export interface SequenceControl {
  addCredit(count: number): void
  leave(): void
}

type Outcome = { readonly error?: unknown }

export class ReadSequence implements AsyncGenerator<unknown, void, void> {
  readonly #start: (reply: Reply) => SequenceControl
  /** Half of the values that may be sent ahead: credit is given in such portions. */
  readonly #portion: number
  readonly #values: unknown[] = []
  #control: SequenceControl | undefined
  #taken = 0
  #outcome: Outcome | undefined
  #isLeft = false
  #wake: (() => void) | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(ahead: number, start: (reply: Reply) => SequenceControl) {
    this.#portion = Math.max(1, Math.floor(ahead / 2))
    this.#start = start
  }

  next(): Promise<IteratorResult<unknown, void>> {
    const result = this.#last.then(() => this.#read())
    this.#last = result.catch(() => {})
    return result
  }

  /** Ends the sequence on the other side; resolves when it has ended there. */
  async return(): Promise<IteratorReturnResult<void>> {
    await this.#leave()
    return { done: true, value: undefined }
  }

  async throw(error: unknown): Promise<never> {
    await this.#leave()
    throw error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async #read(): Promise<IteratorResult<unknown, void>> {
    if (!this.#isLeft) this.#begin()
    for (;;) {
      if (this.#isLeft) return { done: true, value: undefined }
      if (this.#values.length > 0) return { done: false, value: this.#takeValue() }
      const outcome = this.#outcome
      if (outcome) {
        this.#isLeft = true // an error ends the sequence
        if ('error' in outcome) throw outcome.error
        return { done: true, value: undefined }
      }
      await this.#wait()
    }
  }

  #begin(): void {
    if (this.#control || this.#outcome) return
    try {
      this.#control = this.#start({
        onItem: (value) => {
          this.#values.push(value)
          this.#notify()
        },
        onEnd: () => this.#end({}),
        onError: (error) => this.#end({ error }),
      })
    } catch (error) {
      this.#end({ error })
    }
  }

  #takeValue(): unknown {
    this.#taken++
    if (this.#taken === this.#portion) {
      if (!this.#outcome) this.#control?.addCredit(this.#taken)
      this.#taken = 0
    }
    return this.#values.shift()
  }

  async #leave(): Promise<void> {
    this.#isLeft = true
    this.#notify()
    this.#outcome ??= this.#control ? undefined : {}
    if (!this.#outcome) this.#control!.leave()
    while (!this.#outcome) await this.#wait()
  }

  #end(outcome: Outcome): void {
    this.#outcome ??= outcome
    this.#notify()
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Until something happens; several may wait. */
  #wait(): Promise<void> {
    const others = this.#wake
    return new Promise((resolve) => {
      this.#wake = () => {
        others?.()
        resolve()
      }
    })
  }
}
