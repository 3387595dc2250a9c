// One call after the other for each user, different users at the same time. Independent of what the
// calls do.

export class UserQueue {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `work` when all earlier calls for this user have ended, with or without an error. */
  async run<Result>(user: string, work: () => Result | Promise<Result>): Promise<Result> {
    const before = this.#last.get(user) ?? Promise.resolve()
    const result = before.then(work, work)
    this.#last.set(user, result)
    try {
      return await result
    } finally {
      if (this.#last.get(user) === result) this.#last.delete(user)
    }
  }

  /** Resolves when no call is running or waiting. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}
