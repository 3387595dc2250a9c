// The users of a learner: in memory or in a store, one call for a user after the other, saved after
// each learned turn. Where somebody else wrote the same user, this side takes what they wrote and
// learns its own unsaved turns again on top. Knows no model.

import { ConflictError, OptionError } from '../../base/errors.ts'
import type { LearnerOptions } from '../learner-options.ts'
import { type TurnUpdate, type LearnerUser, type Turn, estimateUserBytes } from '../user.ts'
import { UserCheckpoints } from '../store/checkpoints.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import { type PoolProblem, UserPool } from '../store/user-pool.ts'
import type { UserState } from '../store/user-state.ts'
import { UserQueue } from './user-queue.ts'

/** What the learner does with a user. */
export interface UserHandlers {
  readonly load: (name: string, state: UserState | undefined) => LearnerUser
  readonly stateOf: (user: LearnerUser) => UserState
  /** Learns a turn again. */
  readonly replay: (user: LearnerUser, job: TurnUpdate) => Promise<unknown>
  /** Before the first user is opened. */
  readonly prepare: () => Promise<void>
}

type StorageOptions = Pick<
  LearnerOptions,
  'store' | 'limitBytes' | 'hotForm' | 'coldForm' | 'now' | 'onProblem'
>

const mostUnsaved = 256 // where a store refuses for long; the turns are in the tiers all the same

export class UserRegistry {
  /** Whether users outlive the learner. */
  readonly isStored: boolean
  readonly #pool: UserPool<LearnerUser>
  readonly #forgetStored: (name: string) => Promise<void>
  readonly #queue = new UserQueue()
  readonly #handlers: UserHandlers
  readonly #report: (problem: PoolProblem) => void
  #ready: Promise<void> | undefined
  readonly #conflicts = new Map<string, Promise<void>>()
  readonly #watched = new Set<Promise<unknown>>()
  #closed = false

  constructor(options: StorageOptions, handling: UserHandlers) {
    const {
      store = createMemoryStore(),
      limitBytes = options.store ? 256e6 : Infinity,
      hotForm,
      coldForm,
      now = () => 0,
    } = options
    this.isStored = options.store !== undefined
    this.#handlers = handling
    this.#report = options.onProblem ?? (() => undefined)
    this.#forgetStored = (name) => store.forget(name)
    this.#pool = new UserPool({
      checkpoints: new UserCheckpoints(store),
      limitBytes,
      now,
      sizeOf: estimateUserBytes,
      load: handling.load,
      ...(hotForm && { hotForm }),
      ...(coldForm && { coldForm }),
      stateOf: (user) => {
        user.savingLearned = user.learned
        return handling.stateOf(user)
      },
      onProblem: (problem) => {
        if (problem.error instanceof ConflictError)
          void this.#afterConflict(problem.user, problem.error)
        else this.#report(problem)
      },
    })
  }

  /** Names of the users in memory. */
  get inMemory(): string[] {
    return this.#pool.users
  }

  /**
   * The live object, which stays whole while others learn: for reading, and for answers that are
   * still being written.
   */
  get(name: string): Promise<LearnerUser> {
    return this.#use(name, (user) => user)
  }

  /** Changes a user at once, beside whatever is being learned; written with the next turn. */
  changeNow<Result>(name: string, work: (user: LearnerUser) => Result): Promise<Result> {
    return this.#use(name, (user, changed) => {
      const result = work(user)
      changed()
      return result
    })
  }

  /**
   * Changes a user when all calls before have ended, and saves it afterwards, outside of the
   * caller's way.
   */
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

  /** Work beside the calls: `flush` waits for it, and what goes wrong is told. */
  watch(name: string, work: Promise<unknown>): void {
    const watched = work
      .catch((error: unknown) => this.#report({ user: name, error }))
      .finally(() => this.#watched.delete(watched))
    this.#watched.add(watched)
  }

  /** Remembers a turn until it is saved. */
  recordLearned(user: LearnerUser, { turn, signal }: TurnUpdate): void {
    if (!this.isStored) return
    user.unsaved.push({
      number: user.learned,
      job: { turn: { ...turn, hidden: undefined, adapter: undefined }, signal },
    })
    if (user.unsaved.length > mostUnsaved) user.unsaved.shift()
  }

  /**
   * Waits for every call and saves everybody. Rejects with StorageError naming those who could not
   * be saved; they stay in memory.
   */
  async flush(): Promise<void> {
    await this.#idle()
    if (!this.isStored) return
    await Promise.all(this.#pool.users.map((name) => this.#save(name)))
    await this.#idle()
    await this.#pool.flush()
  }

  async #idle(): Promise<void> {
    while (this.#watched.size > 0) await Promise.all(this.#watched)
    await this.#queue.idle()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.flush()
    this.#closed = true
  }

  forget(name: string): Promise<void> {
    return this.#queue.run(name, async () => {
      await this.#finishWrites(name)
      await this.#discard(name)
      await this.#forgetStored(name)
    })
  }

  async #use<Result>(
    name: string,
    work: (user: LearnerUser, changed: () => void) => Result | Promise<Result>,
  ): Promise<Result> {
    if (typeof name !== 'string' || name === '')
      throw new OptionError('A learner wants the name of a user.')
    if (this.#closed) throw new OptionError('This learner is closed.')
    await (this.#ready ??= this.#handlers.prepare())
    return this.#pool.use(name, work)
  }

  /**
   * Never rejects: whoever learned has been answered, and the changes stay in memory for the next
   * try.
   */
  async #save(name: string): Promise<void> {
    try {
      await this.#write(name)
    } catch (error) {
      if (error instanceof ConflictError) await this.#afterConflict(name, error)
      else this.#report({ user: name, error })
    }
  }

  async #write(name: string): Promise<void> {
    if (!(await this.#pool.save(name))) return
    const user = await this.get(name)
    user.unsaved = user.unsaved.filter(({ number }) => number > user.savingLearned)
  }

  /** Told once, however many writes it stopped. */
  #afterConflict(name: string, error: ConflictError): Promise<void> {
    const known = this.#conflicts.get(name)
    if (known) return known
    this.#report({ user: name, error })
    const solved = this.#resolveConflict(name).finally(() => this.#conflicts.delete(name))
    this.#conflicts.set(name, solved)
    return solved
  }

  /** Theirs first, then what was not saved of ours. */
  async #resolveConflict(name: string): Promise<void> {
    try {
      await this.#queue.run(name, async () => {
        if (await this.#finishWrites(name)) return
        const ours = await this.get(name)
        await this.#discard(name)
        await this.#use(name, async (theirs, changed) => {
          copyTurns(ours.turns, theirs)
          changed()
          for (const { job } of ours.unsaved) await this.#handlers.replay(theirs, job)
        })
      })
      await this.#write(name) // where somebody wrote again, the next turn's save finds out
    } catch (error) {
      this.#report({ user: name, error })
    }
  }

  /**
   * Ends what is being written of a user, so that nothing of it comes after. True where a state was
   * written.
   */
  async #finishWrites(name: string): Promise<boolean> {
    return (await this.#pool.save(name).catch(() => undefined)) !== undefined
  }

  /** Somebody may be looking at it this very moment. */
  async #discard(name: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        return this.#pool.discard(name)
      } catch (error) {
        if (tries === 100) throw error
        await new Promise<void>((resolve) => void setTimeout(resolve, 0))
      }
    }
  }
}

/** Answers of this process that may still be judged; those who got them know their numbers. */
function copyTurns(turns: ReadonlyMap<number, Turn>, theirs: LearnerUser): void {
  for (const [number, turn] of turns) {
    theirs.turns.set(number, { ...turn, hidden: undefined, adapter: undefined })
    theirs.count = Math.max(theirs.count, number + 1)
  }
}
