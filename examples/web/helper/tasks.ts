// The state of a page's helper and what runs: one thing that can be stopped at a time, and every
// problem as a sentence in the state. Independent of what the things are.

import { startState, type GraftState, type ShownTurn } from './state.ts'

type Doing = NonNullable<GraftState['doing']>

const toSentence = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

export class Tasks {
  state: GraftState = startState
  readonly #listeners = new Set<() => void>()
  #stopping: AbortController | undefined

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  stop(): void {
    this.#stopping?.abort()
  }

  change(part: Partial<GraftState>): void {
    this.state = Object.assign({}, this.state, part)
    for (const listener of this.#listeners) listener()
  }

  changeTurn(id: number, part: Partial<ShownTurn>): void {
    const turns = this.state.turns.map((turn) =>
      turn.id === id ? Object.assign({}, turn, part) : turn,
    )
    this.change({ turns })
  }

  /** Does one thing; what goes wrong becomes the state's problem. */
  async attempt<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    this.change({ problem: '' })
    try {
      return await work()
    } catch (error) {
      if (!this.#stopping?.signal.aborted) this.change({ problem: toSentence(error) })
      return undefined
    }
  }

  /** The same for what can be stopped; one at a time. */
  async run(doing: Doing, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.state.doing)
      return this.change({ problem: `Still ${this.state.doing}; stop that first.` })
    const { signal } = (this.#stopping = new AbortController())
    this.change({ doing })
    await this.attempt(() => work(signal))
    this.change({ doing: undefined })
    this.#stopping = undefined
  }
}
