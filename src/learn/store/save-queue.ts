// Writes checkpoints after the calls that asked for them: learning a turn only marks its user.
// Independent of the clock; times are arguments.

import type { UserCheckpointInfo, WriteCheckpointOptions } from './checkpoint-info.ts'
import type { UserCheckpoints } from './checkpoints.ts'
import type { UserState } from './user-state.ts'

export interface SaveQueueOptions extends WriteCheckpointOptions {
  /** Start at once, in this turn of the event loop, because a caller waits. Default false. */
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
 * One write at a time for each user; further requests meanwhile become one write of the newest
 * state.
 */
export class SaveQueue {
  readonly #checkpoints: UserCheckpoints
  readonly #pending = new Map<string, PendingSave>()
  readonly #writing = new Map<string, Promise<void>>()

  constructor(checkpoints: UserCheckpoints) {
    this.#checkpoints = checkpoints
  }

  /**
   * Requests a checkpoint and returns at once. The promise resolves when a checkpoint with at least
   * the current state is written, and rejects with what `snapshot` or `UserCheckpoints.write`
   * throws. `snapshot` is called when the write begins, in a later turn of the event loop.
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

  /** Whether a write of this user is running or pending. */
  isBusy(user: string): boolean {
    return this.#writing.has(user)
  }

  /** Resolves when every save requested until now is written or has failed. */
  async idle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values())
  }

  /**
   * Writes until the user has no pending save. Never rejects: failures reject the save's promise.
   */
  async #write(user: string): Promise<void> {
    for (;;) {
      if (this.#pending.get(user)!.options.urgent) await undefined
      // the call that asked continues first
      else await new Promise<void>((resolve) => void setTimeout(resolve, 0))
      const pending = this.#pending.get(user)!
      this.#pending.delete(user)
      const { urgent: _, ...options } = pending.options
      try {
        const info = await this.#checkpoints.write(user, pending.snapshot(), pending.time, options)
        pending.resolve(info)
      } catch (error) {
        pending.reject(error)
      }
      if (this.#pending.has(user)) continue
      this.#writing.delete(user)
      return
    }
  }
}
