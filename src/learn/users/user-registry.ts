// The users of a learner: in memory or in a store, one call for a user after the other, saved after
// each learned turn. Where another process wrote the same user, takes that state and learns this
// process's unsaved turns again on top. Independent of the model.

import { ConflictError, OptionError } from '../../base/errors.ts'
import { checkOptions, createField, type GivenOptions, string } from '../../base/schema.ts'
import { UserCheckpoints } from '../store/checkpoints.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import { UserPool } from '../store/user-pool.ts'
import { poolFields } from '../store/user-pool-options.ts'
import type { UserState } from '../store/user-state.ts'
import type { UserStore } from '../store/user-store.ts'
import { dropStates, type TurnUpdate } from '../turns/turn.ts'
import { BackgroundWork } from './background-work.ts'
import { estimateUserBytes, type LearnerUser } from './user.ts'
import { UserQueue } from './user-queue.ts'
import { copyTurns, WriteConflicts } from './resolve-conflicts.ts'

export const storageFields = {
  /** Where users are saved after each learned turn; without it they live as long as the learner. */
  store: createField<UserStore>(
    'a store',
    {},
    (value) => typeof value === 'object' && value !== null,
  ),
  /** Bytes of memory for users not in use, with a store. Default 256 MB. */
  limitBytes: poolFields.limitBytes,
  /** How users in memory are saved. Default 'f32'. */
  hotForm: poolFields.hotForm,
  /** How users are saved that are evicted from memory. Default 'int8'. */
  coldForm: poolFields.coldForm,
  /** Milliseconds since 1970: times of checkpoints and versions, and the clock of a schedule. */
  now: poolFields.now,
  /**
   * Receives problems that cannot be reported to a caller: a save that failed, a user whom another
   * process wrote too, a scheduled consolidation that failed.
   */
  onProblem: poolFields.onProblem,
}
export type StorageOptions = GivenOptions<typeof storageFields>

/** What the learner does with a user. */
export interface UserHandlers {
  readonly load: (name: string, state: UserState | undefined) => LearnerUser
  readonly stateOf: (user: LearnerUser) => UserState
  /** Learns a turn again. */
  readonly replay: (user: LearnerUser, update: TurnUpdate) => Promise<unknown>
  /** Before the first user is opened. */
  readonly prepare: () => Promise<void>
}

// Where a store fails for long; the tiers hold what earlier turns taught all the same.
const maxUnsaved = 256
const maxConflicts = 3

/** What takes a user's place. */
interface Replacement<Result> {
  /** The same object where it changed itself. */
  readonly user: LearnerUser
  readonly result: Result
  /** Called at the moment of the exchange. */
  finish(): void
}

const nameFields = { user: string({ filled: true }) }

export class UserRegistry {
  /** Whether users outlive the learner. */
  readonly isStored: boolean
  readonly #pool: UserPool<LearnerUser>
  readonly #store: UserStore
  readonly #queue = new UserQueue()
  readonly #handlers: UserHandlers
  readonly #conflicts: WriteConflicts
  readonly #background: BackgroundWork
  /** Users that are being forgotten: they cannot be opened until they are removed. */
  readonly #forgetting = new Map<string, Promise<void>>()
  #prepared: Promise<void> | undefined
  #closed = false

  constructor(options: StorageOptions, handlers: UserHandlers) {
    const { hotForm, coldForm, now = () => 0, onProblem = () => undefined } = options
    const store = options.store ?? createMemoryStore()
    this.isStored = options.store !== undefined
    this.#handlers = handlers
    this.#store = store
    this.#conflicts = new WriteConflicts(onProblem, (name) => this.#mergeUnsavedTurns(name))
    this.#background = new BackgroundWork(onProblem)
    this.#pool = new UserPool({
      checkpoints: new UserCheckpoints(store),
      limitBytes: options.limitBytes ?? (this.isStored ? 256e6 : Infinity),
      now,
      sizeOf: estimateUserBytes,
      load: handlers.load,
      needsRewrite: (user) => user.needsRewrite,
      ...(hotForm && { hotForm }),
      ...(coldForm && { coldForm }),
      stateOf: (user) => {
        user.savingLearned = user.learned
        return handlers.stateOf(user)
      },
      onProblem: (problem) => void this.#conflicts.handle(problem),
    })
  }

  /**
   * The user in memory, which stays usable while others learn: for reading, and for answers that
   * are still being written.
   */
  get(name: string): Promise<LearnerUser> {
    return this.#use(name, (user) => user)
  }

  /** Changes a user at once, without waiting for other calls; saved with the next turn. */
  changeNow<Result>(name: string, work: (user: LearnerUser) => Result): Promise<Result> {
    return this.#use(name, (user, changed) => {
      const result = work(user)
      changed()
      return result
    })
  }

  /** Changes a user after all earlier calls have ended, and saves it in the background. */
  async change<Result>(
    name: string,
    work: (user: LearnerUser) => Promise<Result>,
  ): Promise<Result> {
    const result = await this.#queue.run(name, () =>
      this.#use(name, async (user, changed) => {
        try {
          return await work(user)
        } finally {
          changed()
        }
      }),
    )
    if (this.isStored) void this.#save(name)
    return result
  }

  /**
   * Replaces a user's object after all earlier calls, or changes it, and waits until no earlier
   * state is in the store. Where another process wrote meanwhile, does it again on that state.
   * Rejects with StorageError if the store fails: the change stays in memory.
   */
  async replace<Result>(
    name: string,
    work: (user: LearnerUser) => Promise<Replacement<Result>>,
  ): Promise<Result> {
    for (let tries = 0; ; tries++) {
      if (this.isStored) await this.#save(name)
      const result = await this.#queue.run(name, () => this.#replaceNow(name, work))
      if (!this.isStored) return result
      try {
        await this.#write(name)
        return result
      } catch (error) {
        if (!(error instanceof ConflictError) || tries === maxConflicts) throw error
      }
    }
  }

  async #replaceNow<Result>(
    name: string,
    work: (user: LearnerUser) => Promise<Replacement<Result>>,
  ): Promise<Result> {
    await this.#use(name, () => undefined) // checks the name, and that the learner is open
    const opened = await this.#pool.open(name)
    try {
      const { user, result, finish } = await work(opened.live)
      finish()
      opened.replace(user)
      return result
    } finally {
      opened.release()
    }
  }

  /** Background work of a user: `flush` waits for it, and errors are reported. */
  addBackground(name: string, work: Promise<unknown>): void {
    this.#background.add(name, work)
  }

  /** Keeps a learned turn until it is saved. */
  recordLearned(user: LearnerUser, { number, turn, signal, replaced }: TurnUpdate): void {
    if (!this.isStored) return
    const update = { number, turn: dropStates(turn), signal, replaced }
    user.unsaved.push({ number: user.learned, update })
    if (user.unsaved.length > maxUnsaved) user.unsaved.shift()
  }

  /**
   * Waits for every call and saves all users. Rejects with StorageError that names those who could
   * not be saved; they stay in memory.
   */
  async flush(): Promise<void> {
    await waitForCalls(this.#background, this.#queue)
    if (!this.isStored) return
    await Promise.all(this.#pool.users.map((name) => this.#save(name)))
    await waitForCalls(this.#background, this.#queue)
    await this.#pool.flush()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.flush()
    this.#closed = true
  }

  forget(name: string): Promise<void> {
    return this.#queue.run(name, async () => {
      const forgetting = removeUser(this.#pool, this.#store, name)
      const ended = forgetting.catch(() => undefined)
      this.#forgetting.set(name, ended)
      void ended.then(() => this.#forgetting.delete(name))
      await forgetting
    })
  }

  async #use<Result>(
    name: string,
    work: (user: LearnerUser, changed: () => void) => Result | Promise<Result>,
  ): Promise<Result> {
    checkOptions('Learner', { user: name ?? null }, nameFields)
    if (this.#closed) throw new OptionError('This learner is closed.')
    await (this.#prepared ??= this.#handlers.prepare())
    while (this.#forgetting.has(name)) await this.#forgetting.get(name)
    return this.#pool.use(name, work)
  }

  /** Never rejects: the caller has its answer, and the changes stay in memory for the next try. */
  async #save(name: string): Promise<void> {
    try {
      await this.#write(name)
    } catch (error) {
      await this.#conflicts.handle({ user: name, error })
    }
  }

  async #write(name: string): Promise<void> {
    const { needsRewrite } = await this.get(name)
    if (!(await this.#pool.save(name))) return
    const user = await this.get(name)
    if (needsRewrite) user.needsRewrite = false
    user.unsaved = user.unsaved.filter(({ number }) => number > user.savingLearned)
  }

  /** Takes the state that another process wrote, then learns this process's unsaved turns. */
  async #mergeUnsavedTurns(name: string): Promise<void> {
    await this.#queue.run(name, async () => {
      if (await finishWrites(this.#pool, name)) return
      const ours = await this.get(name)
      await removeFromPool(this.#pool, name)
      await this.#use(name, async (theirs, changed) => {
        copyTurns(ours, theirs)
        changed()
        for (const { update } of ours.unsaved) await this.#handlers.replay(theirs, update)
      })
    })
    await this.#write(name) // a further conflict is found by the next turn's save
  }
}

/** Ends a user's pending writes, so that none comes after. True if a state was written. */
const finishWrites = async (pool: UserPool<LearnerUser>, name: string): Promise<boolean> =>
  (await pool.save(name).catch(() => undefined)) !== undefined

/** Waits for background work, and then for the calls in the queue. */
async function waitForCalls(background: BackgroundWork, queue: UserQueue): Promise<void> {
  await background.idle()
  await queue.idle()
}

/** Removes a user from memory and from the store. */
async function removeUser(
  pool: UserPool<LearnerUser>,
  store: UserStore,
  name: string,
): Promise<void> {
  await finishWrites(pool, name)
  await removeFromPool(pool, name)
  await store.forget(name)
  await store.purge?.()
}

/** Removes a user from memory; tries again while a concurrent call reads or saves it. */
async function removeFromPool(pool: UserPool<LearnerUser>, name: string): Promise<void> {
  await pool.waitForRead(name) // a slow store may take longer than the tries below
  for (let tries = 0; ; tries++) {
    try {
      return pool.discard(name)
    } catch (error) {
      if (tries === 200) throw error
      await new Promise<void>((resolve) => void setTimeout(resolve, tries < 100 ? 0 : 10))
    }
  }
}
