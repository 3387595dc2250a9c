// Losses on canaries under a user's tiers and under the slow tier alone, and the subspace of their
// hidden states. Caches values that depend only on the slow adapter. Makes no decisions.

import type { Adapter } from '../../adapters/adapter.ts'
import { joinFloats } from '../../base/concat.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { Model } from '../../runtime/index.ts'
import type { SlowVersion } from '../slow/train-slow-tier.ts'
import { computePrincipalSubspace } from '../tiers/principal-subspace.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import type { EncodedTurn } from '../turns/encode-turn.ts'
import { measureLosses, type MeanLosses } from '../turns/measure-loss.ts'
import { computeTurnStates, type TurnStates } from '../turns/turn-states.ts'
import {
  getCurrentVersion,
  getServingExpert,
  type LearnerUser,
  type NumberedVersion,
} from '../users/user.ts'

export interface CanaryParts {
  readonly model: Model
  /** Encodes the canaries; called once. Throws what encoding throws. */
  readonly canaries: () => readonly EncodedTurn[]
  /** Tiers that consist of a slow version alone. */
  readonly createBaseline: (version: SlowVersion) => TierStack
  /** The layer whose input states a tier on layers and the memory use. */
  readonly layer: number | undefined
}

export interface CanaryLosses extends MeanLosses {
  /** Under the model without a slow tier, or under the slow tier where that is higher. */
  readonly baseline: number
}

export class CanaryMeasurement {
  readonly #parts: CanaryParts
  #canaries: readonly EncodedTurn[] | undefined
  /** By slow adapter: hidden states depend on it alone, so a check needs no pass of the model. */
  readonly #states = new WeakMap<object, Promise<readonly TurnStates[]>>()
  readonly #baselines = new WeakMap<NumberedVersion, Promise<number>>()
  readonly #subspaces = new WeakMap<object, Promise<F32Tensor>>()

  constructor(parts: CanaryParts) {
    this.#parts = parts
  }

  get canaries(): readonly EncodedTurn[] {
    return (this.#canaries ??= this.#parts.canaries())
  }

  /** Orthonormal directions [K, D] of most of the canaries' hidden states under a slow adapter. */
  getSubspace(adapter: Adapter | undefined, width: number): Promise<F32Tensor> {
    const key = adapter ?? this
    const known = this.#subspaces.get(key)
    if (known) return known
    const subspace = this.#getStates(adapter).then((turns) =>
      computePrincipalSubspace(joinFloats(turns.map(({ hidden }) => hidden)), width),
    )
    this.#subspaces.set(key, subspace)
    return subspace
  }

  async measure(user: LearnerUser): Promise<CanaryLosses> {
    const version = getCurrentVersion(user)
    const baseline = Math.max(
      await this.#measureBaseline(user.versions[0]!),
      await this.#measureBaseline(version),
    )
    const { mixed, model } = await measureLosses(await this.#getUserStates(user), user.tiers)
    return { baseline, mixed, model }
  }

  #measureBaseline(version: NumberedVersion): Promise<number> {
    const known = this.#baselines.get(version)
    if (known) return known
    const loss = this.#getStates(version.adapter).then(
      async (turns) => (await measureLosses(turns, this.#parts.createBaseline(version))).model,
    )
    this.#baselines.set(version, loss)
    return loss
  }

  /** Hidden states under the user's model; a tier on layers changes them with every step. */
  async #getUserStates(user: LearnerUser): Promise<readonly TurnStates[]> {
    if (!user.layerTier) return this.#getStates(getCurrentVersion(user).adapter)
    const { model, layer } = this.#parts
    const turns: TurnStates[] = []
    for (const canary of this.canaries)
      turns.push(await computeTurnStates(model, canary, getServingExpert(user), layer))
    return turns
  }

  #getStates(adapter: Adapter | undefined): Promise<readonly TurnStates[]> {
    const key = adapter ?? this
    const known = this.#states.get(key)
    if (known) return known
    const { model, layer } = this.#parts
    const turns = Promise.all(
      this.canaries.map((canary) => computeTurnStates(model, canary, adapter, layer)),
    )
    this.#states.set(key, turns)
    return turns
  }
}
