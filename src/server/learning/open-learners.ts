// The learners that are open in a server: one for the base, and one for each expert that users are
// answered by. A learner has users in memory, so one whose expert is unloaded is closed, with its
// users saved, as soon as nothing uses it.

import type { Learner } from '../../learn/learner-calls.ts'
import type { AnsweringExpert } from './answering-expert.ts'
import { computeScope } from './scoped-store.ts'

export interface OpenLearner {
  readonly scope: string
  readonly key: string
  /** undefined: the base. */
  readonly name: string | undefined
  readonly learner: Learner
}

/** A learner that stays open until it is released. */
export interface HeldLearner extends OpenLearner {
  /** May be called again. */
  release(): void
}

interface CountedLearner extends OpenLearner {
  holders: number
  closing: Promise<void> | undefined
}

export interface OpenLearnersOptions {
  /** Whether an expert with this key is loaded. */
  readonly isLoaded: (key: string) => boolean
  readonly create: (expert: AnsweringExpert | undefined, scope: string) => Learner
}

export class OpenLearners {
  readonly #options: OpenLearnersOptions
  readonly #learners = new Map<string, CountedLearner>()

  constructor(options: OpenLearnersOptions) {
    this.#options = options
    this.#add(undefined)
  }

  /** How many are open. */
  get size(): number {
    return this.#learners.size
  }

  /** The learner on an expert, on the base where none is given; opened where there is none yet. */
  async hold(expert: AnsweringExpert | undefined): Promise<HeldLearner> {
    const scope = computeScope(expert?.handle.key ?? '')
    for (let known = this.#learners.get(scope); known; known = this.#learners.get(scope)) {
      if (!known.closing) return this.#count(known)
      await known.closing
    }
    void this.closeUnloaded()
    return this.#count(this.#add(expert))
  }

  /** The learner of a scope where it is open and its expert is loaded. */
  async find(scope: string): Promise<HeldLearner | undefined> {
    const known = this.#learners.get(scope)
    await known?.closing
    const open = this.#learners.get(scope)
    return open && this.#isWanted(open) ? this.#count(open) : undefined
  }

  /** Every open learner in turn, each held while the work on it lasts. */
  async forEach(work: (learner: Learner) => Promise<void>): Promise<void> {
    for (const { scope } of [...this.#learners.values()]) {
      const known = this.#learners.get(scope)
      if (!known || known.closing) {
        await known?.closing // saves its users
        continue
      }
      const held = this.#count(known)
      try {
        await work(held.learner)
      } finally {
        held.release()
      }
    }
  }

  /**
   * Closes every learner that nothing uses and whose expert is not loaded. One whose users cannot
   * be saved stays open, because they are in memory alone; it is tried again at the next call.
   */
  async closeUnloaded(): Promise<void> {
    const idle = [...this.#learners.values()].filter(
      (one) => one.holders === 0 && !one.closing && !this.#isWanted(one),
    )
    await Promise.all(idle.map((one) => (one.closing = this.#close(one))))
  }

  /** Saves all users and ends every learner. */
  async close(): Promise<void> {
    await this.forEach((learner) => learner.close())
  }

  async #close(one: CountedLearner): Promise<void> {
    try {
      await one.learner.close()
      this.#learners.delete(one.scope)
    } catch {
      one.closing = undefined
    }
  }

  #isWanted({ key }: OpenLearner): boolean {
    return key === '' || this.#options.isLoaded(key)
  }

  #add(expert: AnsweringExpert | undefined): CountedLearner {
    const key = expert?.handle.key ?? ''
    const scope = computeScope(key)
    const learner = this.#options.create(expert, scope)
    const name = expert?.handle.name
    const added = { scope, key, name, learner, holders: 0, closing: undefined }
    this.#learners.set(scope, added)
    return added
  }

  #count(one: CountedLearner): HeldLearner {
    one.holders++
    let isHeld = true
    const release = (): void => {
      if (!isHeld) return
      isHeld = false
      one.holders--
      void this.closeUnloaded()
    }
    const { scope, key, name, learner } = one
    return { scope, key, name, learner, release }
  }
}
