// Calls for one user one after the other, for different users at the same time. Knows nothing of
// what is done.

export class UserQueue {
  readonly #last = new Map<string, Promise<unknown>>()

  /**
   * Does the work when everything that was asked for this user before has ended, however it ended.
   */
  async run<Result>(user: string, work: () => Result | Promise<Result>): Promise<Result> {
    const before = this.#last.get(user) ?? Promise.resolve()
    const mine = before.then(work, work)
    this.#last.set(user, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(user) === mine) this.#last.delete(user)
    }
  }

  /** Resolves when nobody waits or works any more. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}
