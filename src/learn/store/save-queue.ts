// Writes checkpoints after the work that asked for them: a request that learns only marks its user.
// Knows no clock but the times it is given.

import type { UserCheckpointInfo, UserCheckpoints, WriteCheckpointOptions } from './checkpoints.ts'
import type { UserState } from './user-state.ts'

export interface SaveQueueOptions extends WriteCheckpointOptions {
  /** Somebody waits for it: begin at once, in this turn of the event loop. */
  readonly urgent?: boolean
}

interface PendingSave {
  snapshot: () => UserState
  time: number
  options: SaveQueueOptions
  readonly promise: Promise<UserCheckpointInfo>
  readonly resolve: (info: UserCheckpointInfo) => void
  readonly reject: (error: unknown) => void
}

/**
 * One write at a time for each user; whatever was asked for meanwhile becomes one write of the
 * newest state.
 */
export class SaveQueue {
  readonly #checkpoints: UserCheckpoints
  readonly #pending = new Map<string, PendingSave>()
  readonly #writing = new Map<string, Promise<void>>()

  constructor(checkpoints: UserCheckpoints) {
    this.#checkpoints = checkpoints
  }

  /**
   * Asks for a checkpoint and returns at once; the promise settles when a checkpoint that holds at
   * least this moment's state is written, and rejects with what `snapshot` or `Checkpoints.write`
   * throws. The state is asked for when the write begins, in a later turn of the event loop.
   */
  save(
    user: string,
    snapshot: () => UserState,
    time: number,
    options: SaveQueueOptions = {},
  ): Promise<UserCheckpointInfo> {
    const waiting = this.#pending.get(user)
    if (waiting) {
      Object.assign(waiting, { snapshot, time, options: { ...waiting.options, ...options } })
      return waiting.promise
    }
    const { promise, resolve, reject } = Promise.withResolvers<UserCheckpointInfo>()
    this.#pending.set(user, { snapshot, time, options, promise, resolve, reject })
    if (!this.#writing.has(user)) this.#writing.set(user, this.#write(user))
    return promise
  }

  /** Whether a write of this user's is under way or waiting. */
  isBusy(user: string): boolean {
    return this.#writing.has(user)
  }

  /**
   * Resolves when everything that was asked for until now, by anybody, is written or has failed.
   */
  async idle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values())
  }

  /** Writes until no wish is left. Never rejects: those who wished are told. */
  async #write(user: string): Promise<void> {
    for (;;) {
      if (this.#pending.get(user)!.options.urgent) await undefined
      // the request that asked goes on first
      else await new Promise<void>((resolve) => void setTimeout(resolve, 0))
      const wish = this.#pending.get(user)!
      this.#pending.delete(user)
      try {
        wish.resolve(await this.#checkpoints.write(user, wish.snapshot(), wish.time, wish.options))
      } catch (error) {
        wish.reject(error)
      }
      if (this.#pending.has(user)) continue
      this.#writing.delete(user)
      return
    }
  }
}
