// Whether a server takes requests: from its start until it is asked to end, and then until the last
// request has ended. Independent of HTTP.

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
   * Takes no more requests; resolves when those that run have ended, or after `limitMs`. Whether
   * all have ended.
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
