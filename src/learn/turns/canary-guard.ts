// Watches canaries while a user's tiers learn: where they get worse beyond a bound, the tiers go
// back to what they were when all was well. For whatever comes in as feedback, meant or hostile.
// Knows no feedback.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { joinFloats } from '../../base/concat.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { Model } from '../../runtime/index.ts'
import type { GuardOptions } from '../learner-options.ts'
import type { DeepTier } from '../tiers/layer-tier.ts'
import type { FastTier } from '../tiers/head-tier.ts'
import {
  clearTiers,
  type GoodState,
  type GoodTier,
  type LearnerUser,
  type NumberedVersion,
  servedBy,
  versionOf,
} from '../user.ts'
import type { SlowVersion } from '../slow/train-slow-tier.ts'
import { mainDirections } from '../tiers/principal-subspace.ts'
import type { Student } from '../tiers/tier-stack.ts'
import { type Asked, lessonOf, lossesOver, type TurnLesson } from './turns.ts'

export interface CanaryParts {
  readonly model: Model
  /** Throws what encoding throws; asked once. */
  readonly canaries: () => readonly Asked[]
  /** A student that knows nothing but a slow version. */
  readonly bare: (version: SlowVersion) => Student
  readonly options: GuardOptions | undefined
  /** The layer whose states a tier on layers, and a memory beside it, stand on. */
  readonly layer: number | undefined
}

export interface CanaryCheck {
  /** Mean loss under the model as it was, or under the slow tier where that is higher. */
  readonly bare: number
  readonly fast: number
  readonly blend: number
  readonly limit: number
}

// what trust grows by at each look that finds all well: three of them make up for one that did not
const recovery = 2 ** (1 / 3)

const leastTrust = 1 / 256 // from there 24 looks that find all well lead back
const quiet = 0.5
const quieter = 3 // logits that the memory's share goes down by, and how many times at a look

export class CanaryGuard {
  readonly #parts: CanaryParts
  readonly #everyTurns: number
  readonly #bound: number
  #canaries: readonly Asked[] | undefined
  /** Hidden states follow from the adapter alone, so a look costs no pass through the model. */
  readonly #lessons = new WeakMap<object, Promise<readonly TurnLesson[]>>()
  readonly #bare = new WeakMap<NumberedVersion, Promise<number>>()
  /** By slow adapter, for all users; and under which one a tier spares them. */
  readonly #directions = new WeakMap<object, Promise<F32Tensor>>()
  readonly #spared = new WeakMap<FastTier, object>()

  /** Throws OptionError for a number of turns or a bound that cannot be kept. */
  constructor(parts: CanaryParts) {
    const { everyTurns = 16, bound = 0.01 } = parts.options ?? {}
    if (!(Number.isInteger(everyTurns) && everyTurns > 0))
      throw new OptionError(`Guard: everyTurns is ${everyTurns}, expected a whole number above 0.`)
    if (!(bound >= 0 && Number.isFinite(bound)))
      throw new OptionError(`Guard: bound is ${bound}, expected a number ≥ 0.`)
    this.#parts = parts
    this.#everyTurns = everyTurns
    this.#bound = bound
  }

  get canaries(): readonly Asked[] {
    return (this.#canaries ??= this.#parts.canaries())
  }

  /**
   * To be called before a user learns: what was just read from a store, or has a new slow tier, is
   * looked at first.
   */
  async before(user: LearnerUser): Promise<void> {
    if (this.canaries.length === 0) return
    await this.#spare(user)
    if (user.good) return
    const { fast, memory } = user.student
    const learned = (fast?.steps ?? 0) + (user.deep?.steps ?? 0) + (memory?.count ?? 0)
    if (learned > 0) await this.look(user)
    else {
      user.good = goodState(user)
      user.guard.lookAt = user.learned + this.#everyTurns
    }
  }

  /**
   * The head's tier is kept from acting where the canaries' hidden states mostly lie: what it
   * learns hardly needs those directions.
   */
  async #spare(user: LearnerUser): Promise<void> {
    const { fast } = user.student
    const { adapter } = versionOf(user)
    const key = adapter ?? this
    if (!fast || this.#spared.get(fast) === key) return
    const directions =
      this.#directions.get(key) ??
      this.#lessonsUnder(adapter).then((lessons) =>
        mainDirections(joinFloats(lessons.map(({ hidden }) => hidden)), fast.width),
      )
    this.#directions.set(key, directions)
    fast.spare(await directions)
    this.#spared.set(fast, key)
  }

  /**
   * To be called after a user learned: looks every so many turns, and sooner where the loss is on
   * its way to the bound.
   */
  async after(user: LearnerUser): Promise<void> {
    if (this.canaries.length > 0 && user.learned >= user.guard.lookAt) await this.look(user)
  }

  /**
   * Looks now. Where it is the memory that takes the loss beyond the bound it is believed less.
   * Where that does not do, what does harm goes back to where all was well, the fast tier or the
   * memory, then the other, and the trust in this user is halved.
   */
  async look(user: LearnerUser): Promise<CanaryCheck> {
    let check = await this.#check(user)
    const drift =
      user.guard.worst > 0
        ? (worstOf(check) - user.guard.worst) / Math.max(1, user.learned - user.guard.checkedAt)
        : 0
    const isWell = (): boolean => worstOf(check) <= check.limit
    if (isWell()) user.guard.trust = Math.min(1, user.guard.trust * recovery)
    for (let step = 0; step < quieter && !isWell() && blamed(check) === 'memory'; step++) {
      user.student.gate.weights[0]! -= quiet
      check = await this.#check(user)
    }
    if (!isWell()) check = await this.#goBack(user, check)
    user.good = goodState(user)
    this.#plan(user, check, drift)
    return check
  }

  /** What does harm first, then the other; both are empty where that is not enough. */
  async #goBack(user: LearnerUser, found: CanaryCheck): Promise<CanaryCheck> {
    user.guard.trust = Math.max(leastTrust, user.guard.trust / 2)
    user.guard.rollbacks++
    for (const part of blamed(found) === 'memory'
      ? (['memory', 'fast'] as const)
      : (['fast', 'memory'] as const)) {
      goBack(user, part)
      const check = await this.#check(user)
      if (worstOf(check) <= check.limit) return check
    }
    clearTiers(user)
    return this.#check(user)
  }

  /**
   * When to look again: half way to where the loss would be at the bound if it went on drifting, by
   * turns, and sooner for who did harm.
   */
  #plan({ learned, guard }: LearnerUser, check: CanaryCheck, drift: number): void {
    const worst = worstOf(check)
    const untilBound = drift > 0 ? (check.limit - worst) / drift / 2 : Infinity
    guard.lookAt =
      learned + Math.max(1, Math.floor(Math.min(this.#everyTurns * guard.trust, untilBound)))
    guard.checkedAt = learned
    guard.worst = worst
  }

  async #check(user: LearnerUser): Promise<CanaryCheck> {
    const version = versionOf(user)
    const bare = Math.max(await this.#bareLoss(user.versions[0]!), await this.#bareLoss(version))
    const losses = await lossesOver(await this.#lessonsOf(user, version), user.student)
    return { bare, ...losses, limit: bare * (1 + this.#bound) }
  }

  #bareLoss(version: NumberedVersion): Promise<number> {
    const known = this.#bare.get(version)
    if (known) return known
    const loss = this.#lessonsUnder(version.adapter).then(
      async (lessons) => (await lossesOver(lessons, this.#parts.bare(version))).fast,
    )
    this.#bare.set(version, loss)
    return loss
  }

  /**
   * As the user's model gives them; with a tier on layers they change with every step, and are
   * computed anew.
   */
  async #lessonsOf(
    user: LearnerUser,
    { adapter }: NumberedVersion,
  ): Promise<readonly TurnLesson[]> {
    if (!user.deep) return this.#lessonsUnder(adapter)
    const { model, layer } = this.#parts
    const lessons: TurnLesson[] = []
    for (const canary of this.canaries)
      lessons.push(await lessonOf(model, canary, servedBy(user), layer))
    return lessons
  }

  #lessonsUnder(adapter: Adapter | undefined): Promise<readonly TurnLesson[]> {
    const key = adapter ?? this
    const known = this.#lessons.get(key)
    if (known) return known
    const lessons = Promise.all(
      this.canaries.map((canary) =>
        lessonOf(this.#parts.model, canary, adapter, this.#parts.layer),
      ),
    )
    this.#lessons.set(key, lessons)
    return lessons
  }
}

/** What took the loss up by more. */
const blamed = ({ bare, fast, blend }: CanaryCheck): 'fast' | 'memory' =>
  fast - bare > blend - fast ? 'fast' : 'memory'

const worstOf = ({ fast, blend }: CanaryCheck): number => Math.max(fast, blend)

const goodTier = (tier: FastTier | DeepTier): GoodTier => ({
  tensors: new Map([...tier.tensors()].map(([name, { data }]) => [name, data.slice()])),
  steps: tier.steps,
  lastMove: tier.lastMove,
})

function goodState({ student: { fast, memory, gate }, deep }: LearnerUser): GoodState {
  return {
    fast: fast && goodTier(fast),
    deep: deep && goodTier(deep),
    memory: memory?.state(),
    gate: { weights: gate.weights.slice(), squares: gate.squares.slice(), updates: gate.updates },
  }
}

function tierBack(tier: FastTier | DeepTier, good: GoodTier | undefined): void {
  if (!good) return tier.clear()
  const own = tier.tensors()
  tier.restore(
    new Map([...good.tensors].map(([name, data]) => [name, { ...own.get(name)!, data }])),
    good.steps,
  )
  tier.lastMove = good.lastMove
}

/** A tier as it was when all was well; empty where that is not known. */
function goBack({ student, deep, good }: LearnerUser, part: 'fast' | 'memory'): void {
  const { fast, memory, gate } = student
  if (part === 'fast' && fast) tierBack(fast, good?.fast)
  if (part === 'fast' && deep) tierBack(deep, good?.deep)
  if (part === 'memory' && memory) {
    if (!good?.memory) return memory.clear()
    memory.restore(good.memory)
    gate.weights.set(good.gate.weights)
    gate.squares.set(good.gate.squares)
    gate.updates = good.gate.updates
  }
}
