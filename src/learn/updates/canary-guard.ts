// Rolls a user's tiers back to the last good state when canary losses exceed a bound. Protects
// against bad feedback, accidental or malicious. Does not read feedback itself.

import { type GivenOptions, integer, number, readOptions } from '../../base/schema.ts'
import type { HeadTier } from '../tiers/head-tier.ts'
import type { EncodedTurn } from '../turns/encode-turn.ts'
import { getCurrentVersion, type LearnerUser } from '../users/user.ts'
import {
  captureTiers,
  clearTiers,
  rollBackFastTier,
  rollBackMemory,
} from '../users/user-snapshot.ts'
import { type CanaryLosses, CanaryMeasurement, type CanaryParts } from './canary-losses.ts'

export const guardFields = {
  /** Learned turns between two checks of the canaries, at most. Default 16. */
  everyTurns: integer({ from: 1, default: 16 }),
  /** Share by which their loss may exceed that without fast tier and memory. Default 0.01. */
  bound: number({ from: 0, default: 0.01 }),
}
export type GuardOptions = GivenOptions<typeof guardFields>

type Cause = 'fast tier' | 'memory'

/** Result of a check. */
export interface CanaryVerdict {
  /** The higher of the losses under all tiers and without the memory, in nats per token. */
  readonly loss: number
  readonly limit: number
  /** What raised the loss more. */
  readonly cause: Cause
}

// The step scale grows by this factor at each check within bounds: three make up for one rollback.
const stepScaleRecovery = 2 ** (1 / 3)
const minStepScale = 1 / 256 // 24 checks within bounds lead back to 1
const gateStep = 0.5 // logits by which the memory's λ is lowered
const maxGateSteps = 3 // at one check

const isWithinBounds = ({ loss, limit }: CanaryVerdict): boolean => loss <= limit

function judge({ baseline, mixed, model }: CanaryLosses, bound: number): CanaryVerdict {
  return {
    loss: Math.max(mixed, model),
    limit: baseline * (1 + bound),
    cause: model - baseline > mixed - model ? 'fast tier' : 'memory',
  }
}

export class CanaryGuard {
  readonly #losses: CanaryMeasurement
  readonly #everyTurns: number
  readonly #bound: number
  /** The slow adapter under which a tier excludes the canaries' subspace. */
  readonly #excludedFor = new WeakMap<HeadTier, object>()

  /** Throws OptionError for invalid options. */
  constructor(parts: CanaryParts, options: GuardOptions = {}) {
    const { everyTurns, bound } = readOptions('Guard', options, guardFields)
    this.#losses = new CanaryMeasurement(parts)
    this.#everyTurns = everyTurns
    this.#bound = bound
  }

  get canaries(): readonly EncodedTurn[] {
    return this.#losses.canaries
  }

  /**
   * To be called before a user learns. Checks a user that was just read from a store, or has a new
   * slow tier, because no good state of it is known.
   */
  async checkBeforeUpdate(user: LearnerUser): Promise<void> {
    if (this.canaries.length === 0) return
    await this.#excludeCanarySubspace(user)
    if (user.lastGood) return
    const { fast, memory } = user.tiers
    const learned = (fast?.steps ?? 0) + (user.layerTier?.steps ?? 0) + (memory?.count ?? 0)
    if (learned > 0) await this.evaluate(user)
    else {
      user.lastGood = captureTiers(user)
      user.guard.nextCheckAt = user.learned + this.#everyTurns
    }
  }

  /** To be called after each learned turn; checks when the next check is due. */
  async checkAfterUpdate(user: LearnerUser): Promise<void> {
    if (this.canaries.length > 0 && user.learned >= user.guard.nextCheckAt)
      await this.evaluate(user)
  }

  /**
   * Checks the canaries now. Where their loss exceeds the bound:
   *
   * 1. Lower the memory's weight λ, up to three times, as long as the memory is the cause.
   * 2. Roll back the cause, fast tier or memory, to the last good state.
   * 3. Roll back the other one.
   * 4. Clear both.
   *
   * It ends at the first step that brings the loss within the bound. Steps 2 to 4 count as one
   * rollback, which halves the user's step scale.
   */
  async evaluate(user: LearnerUser): Promise<CanaryVerdict> {
    const { guard, tiers } = user
    let verdict = await this.#measure(user)
    const turns = Math.max(1, user.learned - guard.checkedAt)
    const drift = guard.worstLoss > 0 ? (verdict.loss - guard.worstLoss) / turns : 0
    if (isWithinBounds(verdict)) guard.stepScale = Math.min(1, guard.stepScale * stepScaleRecovery)
    for (let step = 0; step < maxGateSteps; step++) {
      if (isWithinBounds(verdict) || verdict.cause !== 'memory') break
      tiers.gate.weights[0]! -= gateStep
      verdict = await this.#measure(user)
    }
    if (!isWithinBounds(verdict)) verdict = await this.#rollBack(user, verdict.cause)
    user.lastGood = captureTiers(user)
    this.#scheduleNext(user, verdict, drift)
    return verdict
  }

  async #rollBack(user: LearnerUser, cause: Cause): Promise<CanaryVerdict> {
    user.guard.stepScale = Math.max(minStepScale, user.guard.stepScale / 2)
    user.guard.rollbacks++
    const rollBacks =
      cause === 'memory' ? [rollBackMemory, rollBackFastTier] : [rollBackFastTier, rollBackMemory]
    for (const rollBack of rollBacks) {
      rollBack(user, user.lastGood)
      const verdict = await this.#measure(user)
      if (isWithinBounds(verdict)) return verdict
    }
    clearTiers(user)
    return this.#measure(user)
  }

  /**
   * Next check: half the turns that the loss needs to reach the bound at its current drift; earlier
   * for users with a smaller step scale.
   */
  #scheduleNext({ learned, guard }: LearnerUser, verdict: CanaryVerdict, drift: number): void {
    const untilBound = drift > 0 ? (verdict.limit - verdict.loss) / drift / 2 : Infinity
    const turns = Math.floor(Math.min(this.#everyTurns * guard.stepScale, untilBound))
    guard.nextCheckAt = learned + Math.max(1, turns)
    guard.checkedAt = learned
    guard.worstLoss = verdict.loss
  }

  async #measure(user: LearnerUser): Promise<CanaryVerdict> {
    return judge(await this.#losses.measure(user), this.#bound)
  }

  /**
   * The head's tier does not act on most of the canaries' hidden states; it learns almost as well.
   */
  async #excludeCanarySubspace(user: LearnerUser): Promise<void> {
    const { fast } = user.tiers
    const { adapter } = getCurrentVersion(user)
    const key = adapter ?? this
    if (!fast || this.#excludedFor.get(fast) === key) return
    fast.excludeDirections(await this.#losses.getSubspace(adapter, fast.width))
    this.#excludedFor.set(fast, key)
  }
}
