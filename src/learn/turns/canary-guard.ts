// Watches canaries while a user's tiers learn: where they get worse beyond a bound, the tiers go
// back to what they were when all was well. For whatever comes in as feedback, meant or hostile.
// Knows no feedback.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { joinFloats } from '../../base/concat.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { Model } from '../../runtime/index.ts'
import type { GuardOptions } from '../learner-options.ts'
import type { LayerTier } from '../tiers/layer-tier.ts'
import type { HeadTier } from '../tiers/head-tier.ts'
import {
  clearTiers,
  type UserSnapshot,
  type TierSnapshot,
  type LearnerUser,
  type NumberedVersion,
  getServingExpert,
  getCurrentVersion,
} from '../user.ts'
import type { SlowVersion } from '../slow/train-slow-tier.ts'
import { computePrincipalSubspace } from '../tiers/principal-subspace.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import { type EncodedTurn, computeTurnStates, measureLosses, type TurnStates } from './turns.ts'

export interface CanaryParts {
  readonly model: Model
  /** Throws what encoding throws; asked once. */
  readonly canaries: () => readonly EncodedTurn[]
  /** A student that knows nothing but a slow version. */
  readonly createBaseline: (version: SlowVersion) => TierStack
  readonly options: GuardOptions | undefined
  /** The layer whose states a tier on layers, and a memory beside it, stand on. */
  readonly layer: number | undefined
}

export interface CanaryCheck {
  /** Mean loss under the model as it was, or under the slow tier where that is higher. */
  readonly baseline: number
  readonly fast: number
  readonly blend: number
  readonly limit: number
}

// what trust grows by at each look that finds all well: three of them make up for one that did not
const recovery = 2 ** (1 / 3)

const minTrust = 1 / 256 // from there 24 looks that find all well lead back
const gateStep = 0.5
const maxGateSteps = 3 // logits that the memory's share goes down by, and how many times at a look

export class CanaryGuard {
  readonly #parts: CanaryParts
  readonly #everyTurns: number
  readonly #bound: number
  #canaries: readonly EncodedTurn[] | undefined
  /** Hidden states follow from the adapter alone, so a look costs no pass through the model. */
  readonly #states = new WeakMap<object, Promise<readonly TurnStates[]>>()
  readonly #baselines = new WeakMap<NumberedVersion, Promise<number>>()
  /** By slow adapter, for all users; and under which one a tier spares them. */
  readonly #directions = new WeakMap<object, Promise<F32Tensor>>()
  readonly #excludedFor = new WeakMap<HeadTier, object>()

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

  get canaries(): readonly EncodedTurn[] {
    return (this.#canaries ??= this.#parts.canaries())
  }

  /**
   * To be called before a user learns: what was just read from a store, or has a new slow tier, is
   * looked at first.
   */
  async checkBeforeUpdate(user: LearnerUser): Promise<void> {
    if (this.canaries.length === 0) return
    await this.#excludeCanaryDirections(user)
    if (user.lastGood) return
    const { fast, memory } = user.tiers
    const learned = (fast?.steps ?? 0) + (user.layerTier?.steps ?? 0) + (memory?.count ?? 0)
    if (learned > 0) await this.evaluate(user)
    else {
      user.lastGood = captureUser(user)
      user.guard.lookAt = user.learned + this.#everyTurns
    }
  }

  /**
   * The head's tier is kept from acting where the canaries' hidden states mostly lie: what it
   * learns hardly needs those directions.
   */
  async #excludeCanaryDirections(user: LearnerUser): Promise<void> {
    const { fast } = user.tiers
    const { adapter } = getCurrentVersion(user)
    const key = adapter ?? this
    if (!fast || this.#excludedFor.get(fast) === key) return
    const directions =
      this.#directions.get(key) ??
      this.#getStatesUnder(adapter).then((lessons) =>
        computePrincipalSubspace(joinFloats(lessons.map(({ hidden }) => hidden)), fast.width),
      )
    this.#directions.set(key, directions)
    fast.excludeDirections(await directions)
    this.#excludedFor.set(fast, key)
  }

  /**
   * To be called after a user learned: looks every so many turns, and sooner where the loss is on
   * its way to the bound.
   */
  async checkAfterUpdate(user: LearnerUser): Promise<void> {
    if (this.canaries.length > 0 && user.learned >= user.guard.lookAt) await this.evaluate(user)
  }

  /**
   * Looks now. Where it is the memory that takes the loss beyond the bound it is believed less.
   * Where that does not do, what does harm goes back to where all was well, the fast tier or the
   * memory, then the other, and the trust in this user is halved.
   */
  async evaluate(user: LearnerUser): Promise<CanaryCheck> {
    let check = await this.#measure(user)
    const drift =
      user.guard.worst > 0
        ? (computeWorstLoss(check) - user.guard.worst) /
          Math.max(1, user.learned - user.guard.checkedAt)
        : 0
    const isWell = (): boolean => computeWorstLoss(check) <= check.limit
    if (isWell()) user.guard.trust = Math.min(1, user.guard.trust * recovery)
    for (let step = 0; step < maxGateSteps && !isWell() && findCause(check) === 'memory'; step++) {
      user.tiers.gate.weights[0]! -= gateStep
      check = await this.#measure(user)
    }
    if (!isWell()) check = await this.#rollBack(user, check)
    user.lastGood = captureUser(user)
    this.#scheduleNext(user, check, drift)
    return check
  }

  /** What does harm first, then the other; both are empty where that is not enough. */
  async #rollBack(user: LearnerUser, found: CanaryCheck): Promise<CanaryCheck> {
    user.guard.trust = Math.max(minTrust, user.guard.trust / 2)
    user.guard.rollbacks++
    for (const part of findCause(found) === 'memory'
      ? (['memory', 'fast'] as const)
      : (['fast', 'memory'] as const)) {
      rollBack(user, part)
      const check = await this.#measure(user)
      if (computeWorstLoss(check) <= check.limit) return check
    }
    clearTiers(user)
    return this.#measure(user)
  }

  /**
   * When to look again: half way to where the loss would be at the bound if it went on drifting, by
   * turns, and sooner for who did harm.
   */
  #scheduleNext({ learned, guard }: LearnerUser, check: CanaryCheck, drift: number): void {
    const worst = computeWorstLoss(check)
    const untilBound = drift > 0 ? (check.limit - worst) / drift / 2 : Infinity
    guard.lookAt =
      learned + Math.max(1, Math.floor(Math.min(this.#everyTurns * guard.trust, untilBound)))
    guard.checkedAt = learned
    guard.worst = worst
  }

  async #measure(user: LearnerUser): Promise<CanaryCheck> {
    const version = getCurrentVersion(user)
    const baseline = Math.max(
      await this.#measureBaseline(user.versions[0]!),
      await this.#measureBaseline(version),
    )
    const losses = await measureLosses(await this.#computeStates(user, version), user.tiers)
    return { baseline, ...losses, limit: baseline * (1 + this.#bound) }
  }

  #measureBaseline(version: NumberedVersion): Promise<number> {
    const known = this.#baselines.get(version)
    if (known) return known
    const loss = this.#getStatesUnder(version.adapter).then(
      async (lessons) => (await measureLosses(lessons, this.#parts.createBaseline(version))).fast,
    )
    this.#baselines.set(version, loss)
    return loss
  }

  /**
   * As the user's model gives them; with a tier on layers they change with every step, and are
   * computed anew.
   */
  async #computeStates(
    user: LearnerUser,
    { adapter }: NumberedVersion,
  ): Promise<readonly TurnStates[]> {
    if (!user.layerTier) return this.#getStatesUnder(adapter)
    const { model, layer } = this.#parts
    const lessons: TurnStates[] = []
    for (const canary of this.canaries)
      lessons.push(await computeTurnStates(model, canary, getServingExpert(user), layer))
    return lessons
  }

  #getStatesUnder(adapter: Adapter | undefined): Promise<readonly TurnStates[]> {
    const key = adapter ?? this
    const known = this.#states.get(key)
    if (known) return known
    const lessons = Promise.all(
      this.canaries.map((canary) =>
        computeTurnStates(this.#parts.model, canary, adapter, this.#parts.layer),
      ),
    )
    this.#states.set(key, lessons)
    return lessons
  }
}

/** What took the loss up by more. */
const findCause = ({ baseline, fast, blend }: CanaryCheck): 'fast' | 'memory' =>
  fast - baseline > blend - fast ? 'fast' : 'memory'

const computeWorstLoss = ({ fast, blend }: CanaryCheck): number => Math.max(fast, blend)

const captureTier = (tier: HeadTier | LayerTier): TierSnapshot => ({
  tensors: new Map([...tier.tensors()].map(([name, { data }]) => [name, data.slice()])),
  steps: tier.steps,
  lastMove: tier.lastRelativeStep,
})

function captureUser({ tiers: { fast, memory, gate }, layerTier }: LearnerUser): UserSnapshot {
  return {
    fast: fast && captureTier(fast),
    layerTier: layerTier && captureTier(layerTier),
    memory: memory?.state(),
    gate: { weights: gate.weights.slice(), squares: gate.squares.slice(), updates: gate.updates },
  }
}

function restoreTier(tier: HeadTier | LayerTier, good: TierSnapshot | undefined): void {
  if (!good) return tier.clear()
  const own = tier.tensors()
  tier.restore(
    new Map([...good.tensors].map(([name, data]) => [name, { ...own.get(name)!, data }])),
    good.steps,
  )
  tier.lastRelativeStep = good.lastMove
}

/** A tier as it was when all was well; empty where that is not known. */
function rollBack({ tiers, layerTier, lastGood }: LearnerUser, part: 'fast' | 'memory'): void {
  const { fast, memory, gate } = tiers
  if (part === 'fast' && fast) restoreTier(fast, lastGood?.fast)
  if (part === 'fast' && layerTier) restoreTier(layerTier, lastGood?.layerTier)
  if (part === 'memory' && memory) {
    if (!lastGood?.memory) return memory.clear()
    memory.restore(lastGood.memory)
    gate.weights.set(lastGood.gate.weights)
    gate.squares.set(lastGood.gate.squares)
    gate.updates = lastGood.gate.updates
  }
}
