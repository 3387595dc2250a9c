// The users that are being served, in memory, over a store that holds them all: the least recently
// used one goes when memory runs out, written first. Knows nothing of what a user's live object is,
// but how to make a state of it and it of a state.

import { OptionError, StorageError } from '../../base/errors.ts'
import { quoteName } from '../../formats/quote.ts'
import type {
  UserCheckpointInfo,
  UserCheckpoints,
  RefusedCheckpoint,
  WriteCheckpointOptions,
} from './checkpoints.ts'
import { type SaveQueueOptions, SaveQueue } from './save-queue.ts'
import type { StateForm } from './state-image.ts'
import { estimateStateBytes, type StateShapes, type UserState } from './user-state.ts'
import { checkUser } from './user-store.ts'

export interface UserPoolOptions<Live> {
  readonly checkpoints: UserCheckpoints
  /** A live object from a user's state, or a new one for a user who has none. */
  readonly load: (user: string, state: UserState | undefined) => Live
  /** The state of a live object, as it is now. Its tensors are copied at once. */
  readonly stateOf: (live: Live) => UserState
  /**
   * Bytes that a live object takes in memory; those of its state unless told. For objects whose
   * state is costly to make.
   */
  readonly sizeOf?: (live: Live) => number
  /**
   * Bytes of memory for users that nobody is using; those in use are counted, and stay even where
   * they alone are more.
   */
  readonly limitBytes: number
  /** Milliseconds since 1970, for the checkpoints. */
  readonly now: () => number
  /** Shapes that a stored state must have to be taken. */
  readonly shapes?: StateShapes
  /** How a user in memory is saved; f32 unless told. */
  readonly hotForm?: StateForm
  /** How a user is saved who leaves memory; int8 unless told. */
  readonly coldForm?: StateForm
  /** Checkpoints that a cold user keeps; 2 unless told, so that a torn one has one before it. */
  readonly keepCold?: number
  /**
   * Told of what no caller can be told: a user who could not leave memory, checkpoints that were
   * refused.
   */
  readonly onProblem?: (problem: PoolProblem) => void
}

export interface PoolProblem {
  readonly user: string
  /** Why the user could not be written; the user stays in memory. */
  readonly error?: unknown
  /** Checkpoints that could not be used; an older one is. */
  readonly refused?: readonly RefusedCheckpoint[]
}

/** A user in use. Nothing removes it from memory until `release`. */
export interface OpenUser<Live> {
  readonly user: string
  readonly live: Live
  /** Says that the live object is no longer what is stored. */
  changed(): void
  /** Ends the use; a second call does nothing. */
  release(): void
}

interface Entry<Live> {
  readonly live: Live
  pins: number
  sizeBytes: number
  changes: number
  /** The changes that are in the store. */
  savedChanges: number
  /** What the newest checkpoint is written in; undefined where there is none. */
  form: StateForm | undefined
}

interface Loading<Live> {
  readonly promise: Promise<Entry<Live>>
  waiters: number
}

/**
 * Live objects of users, by least recent use. Two who open the same user get the same object.
 *
 * const pool = new UserPool({ checkpoints, wake: (_, state) => state ?? fresh(), stateOf: (state)
 * => state, limitBytes: 64e6, now: Date.now })
 *     await pool.use('ada', (state, changed) => { learn(state); changed() })
 */
export class UserPool<Live> {
  readonly #options: Required<Omit<UserPoolOptions<Live>, 'shapes'>> &
    Pick<UserPoolOptions<Live>, 'shapes'>
  readonly #queue: SaveQueue
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry<Live>>()
  readonly #loading = new Map<string, Loading<Live>>()
  #usedBytes = 0
  #shrinking: Promise<void> = Promise.resolve()

  /** Throws OptionError for a limit that is no number of bytes. */
  constructor(options: UserPoolOptions<Live>) {
    if (!(options.limitBytes >= 0))
      throw new OptionError(`limitBytes is a number of bytes; got ${options.limitBytes}.`)
    const sizeOf = (live: Live): number => estimateStateBytes(options.stateOf(live))
    this.#options = {
      hotForm: 'f32',
      coldForm: 'int8',
      keepCold: 2,
      onProblem: () => undefined,
      sizeOf,
      ...options,
    }
    this.#queue = new SaveQueue(options.checkpoints)
  }

  /** Bytes of all states in memory, as last measured. */
  get usedBytes(): number {
    return this.#usedBytes
  }
  /** Users in memory, the least recently used first. */
  get users(): string[] {
    return [...this.#entries.keys()]
  }

  /**
   * A user for use, from memory or from the store. Rejects with OptionError for a bad name,
   * FormatError where the user has checkpoints and none can be used, StorageError where the store
   * fails, or where memory is full of users that the store does not take: they come first, they
   * would be lost.
   */
  async open(user: string): Promise<OpenUser<Live>> {
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

  /** Opens a user for the time of `work`, which calls `changed` where it has changed the object. */
  async use<Result>(
    user: string,
    work: (live: Live, changed: () => void) => Result | Promise<Result>,
  ): Promise<Result> {
    const opened = await this.open(user)
    try {
      return await work(opened.live, opened.changed)
    } finally {
      opened.release()
    }
  }

  /**
   * Saves a user in memory; gives undefined where there is nothing to save. Rejects with what
   * `Checkpoints.write` throws, the user staying as it is.
   */
  async save(
    user: string,
    options: WriteCheckpointOptions = {},
  ): Promise<UserCheckpointInfo | undefined> {
    const entry = this.#entries.get(user)
    if (!entry || (entry.changes === entry.savedChanges && !options.onTop)) return undefined
    return this.#write(user, entry, { form: this.#options.hotForm, ...options })
  }

  /**
   * Takes a user out of memory without saving: after a ConflictError, to go on with what somebody
   * else wrote. Throws OptionError while it is in use.
   */
  discard(user: string): void {
    const entry = this.#entries.get(user)
    if (entry && entry.pins > 0)
      throw new OptionError(
        `User ${quoteName(user)} is in use and cannot be discarded; release it first.`,
      )
    if (entry) this.#remove(user, entry)
  }

  /**
   * Saves everybody whose changes are not stored. Rejects with StorageError that names those who
   * could not be, with the errors as its cause.
   */
  async flush(): Promise<void> {
    const changed = [...this.#entries].filter(([, entry]) => entry.changes !== entry.savedChanges)
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

  #lease(user: string, entry: Entry<Live>): OpenUser<Live> {
    this.#touch(user, entry)
    let held = true
    return {
      user,
      live: entry.live,
      changed: () => void entry.changes++,
      release: () => {
        if (!held) return
        held = false
        entry.pins--
        if (entry.changes !== entry.savedChanges) this.#measure(entry)
        void this.#shrink()
      },
    }
  }

  #touch(user: string, entry: Entry<Live>): void {
    this.#entries.delete(user)
    this.#entries.set(user, entry)
  }

  #measure(entry: Entry<Live>): void {
    const sizeBytes = this.#options.sizeOf(entry.live)
    this.#usedBytes += sizeBytes - entry.sizeBytes
    entry.sizeBytes = sizeBytes
  }

  #startLoading(user: string): Loading<Live> {
    const loading = { promise: this.#load(user), waiters: 0 }
    this.#loading.set(user, loading)
    return loading
  }

  /** Reads a user and makes room for it; from then on each who waits for it holds it. */
  async #load(user: string): Promise<Entry<Live>> {
    const { checkpoints, load, sizeOf, shapes, limitBytes, onProblem } = this.#options
    let reservedBytes = 0
    try {
      const opened = await checkpoints.open(user, shapes)
      if (opened && opened.refused.length > 0) onProblem({ user, refused: opened.refused })
      const live = load(user, opened?.state)
      reservedBytes = sizeOf(live)
      this.#usedBytes += reservedBytes
      const failure = await this.#shrink()
      if (failure !== undefined && this.#usedBytes > limitBytes)
        throw new StorageError(
          `User ${quoteName(user)} cannot be opened: memory is full of users with changes that could not be written (${String(failure)}) They are kept until they can be.`,
          { cause: failure },
        )
      const entry: Entry<Live> = {
        live,
        pins: this.#loading.get(user)!.waiters,
        sizeBytes: reservedBytes,
        changes: 0,
        savedChanges: 0,
        form: opened?.form,
      }
      this.#entries.set(user, entry)
      return entry
    } catch (error) {
      this.#usedBytes -= reservedBytes
      checkpoints.release(user)
      throw error
    } finally {
      this.#loading.delete(user)
    }
  }

  /**
   * Removes users until the rest fit, one caller after another. Gives the last error of a write
   * that failed on the way.
   */
  #shrink(): Promise<unknown> {
    let failure: unknown
    const work = async (): Promise<void> => {
      failure = this.#usedBytes > this.#options.limitBytes ? await this.#evict() : undefined
    }
    this.#shrinking = this.#shrinking.then(work, work)
    return this.#shrinking.then(() => failure)
  }

  async #evict(): Promise<unknown> {
    const { limitBytes, coldForm, keepCold, onProblem } = this.#options
    let failure: unknown
    let full = false
    for (const [user, entry] of this.#entries) {
      if (this.#usedBytes <= limitBytes) break
      const isStored = (): boolean =>
        entry.changes === entry.savedChanges &&
        (entry.form === undefined || entry.form === coldForm)
      if (entry.pins > 0) continue
      if (!isStored()) {
        if (full) continue // a store that is full takes nobody else's either; those without changes may go
        try {
          await this.#write(user, entry, { form: coldForm, keep: keepCold, urgent: true })
        } catch (error) {
          onProblem({ user, error })
          failure = error
          full = error instanceof StorageError
          continue
        }
      }
      // it may have been opened meanwhile
      if (entry.pins === 0 && isStored()) this.#remove(user, entry)
    }
    return failure
  }

  #remove(user: string, entry: Entry<Live>): void {
    if (this.#entries.get(user) !== entry) return
    this.#entries.delete(user)
    this.#usedBytes -= entry.sizeBytes
    this.#options.checkpoints.release(user)
  }

  async #write(
    user: string,
    entry: Entry<Live>,
    options: SaveQueueOptions,
  ): Promise<UserCheckpointInfo> {
    const { stateOf, now } = this.#options
    let changes = entry.savedChanges
    const snapshot = (): UserState => {
      changes = entry.changes
      return stateOf(entry.live)
    }
    const info = await this.#queue.save(user, snapshot, now(), options)
    entry.savedChanges = Math.max(entry.savedChanges, changes)
    entry.form = info.form
    return info
  }
}
