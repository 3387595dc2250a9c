// Work that no caller waits for: errors are reported, and `idle` waits for all of it.

import type { PoolProblem } from '../store/user-pool-options.ts'

export class BackgroundWork {
  readonly #report: (problem: PoolProblem) => void
  readonly #running = new Set<Promise<unknown>>()

  constructor(report: (problem: PoolProblem) => void) {
    this.#report = report
  }

  add(user: string, work: Promise<unknown>): void {
    const watched = work
      .catch((error: unknown) => this.#report({ user, error }))
      .finally(() => this.#running.delete(watched))
    this.#running.add(watched)
  }

  /** Resolves when nothing is running. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
