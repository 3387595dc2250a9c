// Whether a server accepts requests: from its start until it is asked to stop. It then waits for
// the running requests. Independent of HTTP.

export type LifecycleStage = 'ready' | 'draining'

export class Lifecycle {
  #stage: LifecycleStage = 'ready'
  #open = 0
  #onIdle: (() => void)[] = []

  get stage(): LifecycleStage {
    return this.#stage
  }

  /** Requests that have not ended. */
  get openRequests(): number {
    return this.#open
  }

  enter(): void {
    this.#open++
  }

  leave(): void {
    if (--this.#open > 0) return
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /**
   * Accepts no more requests; resolves when the running ones have ended, or after `limitMs`.
   * Returns whether all have ended.
   */
  async drain(limitMs: number): Promise<boolean> {
    this.#stage = 'draining'
    if (this.#open === 0) return true
    let timer: ReturnType<typeof setTimeout> | undefined
    await Promise.race([
      new Promise<void>((resolve) => this.#onIdle.push(resolve)),
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, limitMs)
      }),
    ])
    if (timer !== undefined) clearTimeout(timer)
    return this.#open === 0
  }
}
