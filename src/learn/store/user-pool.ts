// The active users in memory, over a store of all users: the least recently used one is saved and
// evicted when memory is full. Independent of the contents of a user's state, apart from the
// functions that turn it into a state and back.

import { OptionError, StorageError } from '../../base/errors.ts'
import { checkOptions, listDefaults } from '../../base/schema.ts'
import { quoteName } from '../../formats/quote.ts'
import type { UserCheckpointInfo, WriteCheckpointOptions } from './checkpoint-info.ts'
import { isSaved, PoolEntries, type PoolEntry } from './pool-entries.ts'
import { SaveQueue, type SaveQueueOptions } from './save-queue.ts'
import { userPoolFields, type UserPoolOptions } from './user-pool-options.ts'
import { estimateStateBytes, type UserState } from './user-state.ts'
import { checkUser } from './user-store.ts'

/** A user in use, which is not evicted until `release`. */
export interface OpenUser<Loaded> {
  readonly user: string
  readonly live: Loaded
  /** Marks the object as changed since it was stored. */
  changed(): void
  /** Puts another object in its place for those who open the user later. */
  replace(loaded: Loaded): void
  /** Ends the use; a second call does nothing. */
  release(): void
}

interface PendingLoad<Loaded> {
  readonly promise: Promise<PoolEntry<Loaded>>
  waiters: number
}

type FilledOptions<Loaded> = Required<Omit<UserPoolOptions<Loaded>, 'shapes'>> &
  Pick<UserPoolOptions<Loaded>, 'shapes'>

function fillOptions<Loaded>(options: UserPoolOptions<Loaded>): FilledOptions<Loaded> {
  checkOptions('User pool', options, userPoolFields)
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return {
    ...listDefaults(userPoolFields),
    onProblem: () => undefined,
    needsRewrite: () => false,
    sizeOf: (loaded: Loaded) => estimateStateBytes(options.stateOf(loaded)),
    ...(Object.fromEntries(given) as unknown as UserPoolOptions<Loaded>),
  }
}

/**
 * Objects of users in memory, by least recent use. Callers that open the same user share one
 * object.
 *
 *     const pool = new UserPool({
 *       checkpoints, load: (_, state) => state ?? createState(), stateOf: (state) => state,
 *       limitBytes: 64e6, now: Date.now,
 *     })
 *     await pool.use('ada', (state, changed) => { learn(state); changed() })
 */
export class UserPool<Loaded> {
  readonly #options: FilledOptions<Loaded>
  readonly #queue: SaveQueue
  readonly #entries = new PoolEntries<Loaded>()
  readonly #loading = new Map<string, PendingLoad<Loaded>>()
  #evictions: Promise<void> = Promise.resolve()

  /** Throws OptionError for invalid options. */
  constructor(options: UserPoolOptions<Loaded>) {
    this.#options = fillOptions(options)
    this.#queue = new SaveQueue(options.checkpoints)
  }

  /** Bytes of all states in memory, as last measured. */
  get usedBytes(): number {
    return this.#entries.usedBytes
  }

  /** Users in memory, the least recently used first. */
  get users(): string[] {
    return this.#entries.users
  }

  /**
   * A user for use, from memory or from the store. Rejects with OptionError for an invalid name,
   * FormatError if the user has checkpoints and none can be used, StorageError if the store fails,
   * or where memory is full of users that the store does not take: they stay, because they would be
   * lost.
   */
  async open(user: string): Promise<OpenUser<Loaded>> {
    checkUser(user)
    const known = this.#entries.get(user)
    if (known) {
      known.pins++
      return this.#lease(user, known)
    }
    const loading = this.#loading.get(user) ?? this.#startLoading(user)
    loading.waiters++
    return this.#lease(user, await loading.promise)
  }

  /** Opens a user for the time of `work`, which calls `changed` if it changed the object. */
  async use<Result>(
    user: string,
    work: (live: Loaded, changed: () => void) => Result | Promise<Result>,
  ): Promise<Result> {
    const opened = await this.open(user)
    try {
      return await work(opened.live, opened.changed)
    } finally {
      opened.release()
    }
  }

  /**
   * Saves a user in memory; returns undefined if there is nothing to save. Rejects with the error
   * of `UserCheckpoints.write`, and the user is not changed.
   */
  async save(
    user: string,
    options: WriteCheckpointOptions = {},
  ): Promise<UserCheckpointInfo | undefined> {
    const entry = this.#entries.get(user)
    if (!entry || (isSaved(entry) && !options.onTop)) return undefined
    return this.#write(user, entry, { form: this.#options.hotForm, ...options })
  }

  /**
   * Removes a user from memory without saving: after a ConflictError, to continue from the other
   * writer's state. Throws OptionError while it is in use, being saved or being read.
   */
  discard(user: string): void {
    const entry = this.#entries.get(user)
    if (this.#loading.has(user) || (entry && (entry.pins > 0 || this.#queue.isBusy(user))))
      throw new OptionError(
        `User ${quoteName(user)} is in use and cannot be discarded; release it first.`,
      )
    if (entry) this.#remove(user, entry)
  }

  /** Resolves when the user is not being read from the store. */
  async waitForRead(user: string): Promise<void> {
    await this.#loading.get(user)?.promise.catch(() => undefined)
  }

  /**
   * Saves all users with unsaved changes. Rejects with StorageError that names those who could not
   * be saved, with the errors as its cause.
   */
  async flush(): Promise<void> {
    const changed = [...this.#entries].filter(([, entry]) => !isSaved(entry))
    const outcomes = await Promise.allSettled(
      changed.map(([user, entry]) => this.#write(user, entry, { form: this.#options.hotForm })),
    )
    const failed = outcomes.flatMap((outcome, i) =>
      outcome.status === 'rejected'
        ? [{ user: changed[i]![0], error: outcome.reason as unknown }]
        : [],
    )
    if (failed.length === 0) return
    const names = failed
      .slice(0, 8)
      .map(({ user }) => quoteName(user))
      .join(', ')
    const cause = new AggregateError(failed.map(({ error }) => error))
    throw new StorageError(
      `${failed.length} users could not be saved and stay in memory: ${names}. ${String(failed[0]!.error)}`,
      { cause },
    )
  }

  #lease(user: string, entry: PoolEntry<Loaded>): OpenUser<Loaded> {
    this.#entries.touch(user, entry)
    let held = true
    return {
      user,
      live: entry.loaded,
      changed: () => void entry.changes++,
      replace: (loaded) => {
        entry.loaded = loaded
        entry.changes++
      },
      release: () => {
        if (!held) return
        held = false
        entry.pins--
        if (!isSaved(entry)) this.#entries.resize(entry, this.#options.sizeOf(entry.loaded))
        void this.#evictExcess()
      },
    }
  }

  #startLoading(user: string): PendingLoad<Loaded> {
    const loading = { promise: this.#load(user), waiters: 0 }
    this.#loading.set(user, loading)
    return loading
  }

  /** Reads a user and makes room for it; every waiting caller then has it. */
  async #load(user: string): Promise<PoolEntry<Loaded>> {
    const { checkpoints, load, sizeOf, shapes, limitBytes, onProblem } = this.#options
    let reservedBytes = 0
    try {
      const opened = await checkpoints.open(user, shapes)
      if (opened && opened.refused.length > 0) onProblem({ user, refused: opened.refused })
      const loaded = load(user, opened?.state)
      reservedBytes = sizeOf(loaded)
      this.#entries.usedBytes += reservedBytes
      const failure = await this.#evictExcess()
      if (failure !== undefined && this.usedBytes > limitBytes)
        throw new StorageError(
          `User ${quoteName(user)} cannot be opened: memory is full of users with changes that could not be written (${String(failure)}) They are kept until they can be.`,
          { cause: failure },
        )
      const entry: PoolEntry<Loaded> = {
        loaded,
        pins: this.#loading.get(user)!.waiters,
        sizeBytes: reservedBytes,
        changes: 0,
        savedChanges: 0,
        form: opened?.form,
      }
      this.#entries.touch(user, entry)
      return entry
    } catch (error) {
      this.#entries.usedBytes -= reservedBytes
      checkpoints.release(user)
      throw error
    } finally {
      this.#loading.delete(user)
    }
  }

  /** Evicts until the rest fits, one caller after another. Returns the last error of a write. */
  #evictExcess(): Promise<unknown> {
    let failure: unknown
    const work = async (): Promise<void> => {
      failure = this.usedBytes > this.#options.limitBytes ? await this.#evict() : undefined
    }
    this.#evictions = this.#evictions.then(work, work)
    return this.#evictions.then(() => failure)
  }

  async #evict(): Promise<unknown> {
    const { limitBytes, coldForm, keepCold, onProblem } = this.#options
    let failure: unknown
    let isFull = false
    for (const [user, entry] of this.#entries) {
      if (this.usedBytes <= limitBytes) break
      const isCold = (): boolean =>
        isSaved(entry) && (entry.form === undefined || entry.form === coldForm)
      if (entry.pins > 0) continue
      if (!isCold()) {
        // a full store takes no other user either; unchanged ones may be evicted
        if (isFull) continue
        try {
          await this.#write(user, entry, { form: coldForm, keep: keepCold, urgent: true })
        } catch (error) {
          onProblem({ user, error })
          failure = error
          isFull = error instanceof StorageError
          continue
        }
      }
      // A caller may have opened it meanwhile. A save that waits would not know the last checkpoint
      // of a user who has left.
      if (entry.pins === 0 && isCold() && !this.#queue.isBusy(user)) this.#remove(user, entry)
    }
    return failure
  }

  #remove(user: string, entry: PoolEntry<Loaded>): void {
    if (this.#entries.remove(user, entry)) this.#options.checkpoints.release(user)
  }

  async #write(
    user: string,
    entry: PoolEntry<Loaded>,
    options: SaveQueueOptions,
  ): Promise<UserCheckpointInfo> {
    const { stateOf, now, needsRewrite } = this.#options
    const alone = needsRewrite(entry.loaded)
    let changes = entry.savedChanges
    const snapshot = (): UserState => {
      changes = entry.changes
      return stateOf(entry.loaded)
    }
    const saving = alone ? { ...options, alone } : options
    const info = await this.#queue.save(user, snapshot, now(), saving)
    entry.savedChanges = Math.max(entry.savedChanges, changes)
    entry.form = info.form
    return info
  }
}
