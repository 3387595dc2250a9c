// Statistics and warnings of a MicroLoRA.

import { splitWeights } from './micro-adapter.ts'
import type { MicroModule } from './module/module.ts'
import { computeVariance, type RewardState } from './reward.ts'
import { computeEffectiveRank, listMicroWarnings, type MicroLoraWarning } from './warnings.ts'

/** Figures of a MicroLoRA. */
export interface MicroLoraStatistics {
  /** Feedback that had a quality or a rating. */
  readonly samples: number
  readonly meanQuality: number
  /** Of the qualities, divided by samples − 1. */
  readonly variance: number
  /** Running mean of rewards. */
  readonly baseline: number | undefined
  readonly adaptations: number
  readonly forwards: number
  readonly pendingUpdates: number
  readonly parameters: number
  /** A, B and bias as numbers of 32 bits; `memory()` has everything else. */
  readonly bytes: number
  /** Mean of the first ten losses, and the running mean; 0 before the first. */
  readonly firstLoss: number
  readonly recentLoss: number
}

export function computeStatistics(
  modules: Iterable<MicroModule>,
  rewards: RewardState,
  { adaptations, forwards }: { readonly adaptations: number; readonly forwards: number },
): MicroLoraStatistics {
  const { count, mean, baseline, firstLoss, recentLoss } = rewards
  let parameters = 0
  let pendingUpdates = 0
  for (const module of modules) {
    parameters += module.layout.parameterCount
    pendingUpdates += module.pendingUpdates
  }
  return {
    samples: count,
    meanQuality: mean,
    variance: computeVariance(rewards),
    baseline,
    adaptations,
    forwards,
    pendingUpdates,
    parameters,
    bytes: 4 * parameters,
    firstLoss,
    recentLoss,
  }
}

/** What to act on; empty where all is well or there was too little feedback. */
export function listWarnings(
  modules: Iterable<MicroModule>,
  { count, mean, firstLoss, recentLoss }: RewardState,
): MicroLoraWarning[] {
  const symptoms = Array.from(modules, (module) => {
    const { a, b } = splitWeights(module)
    return {
      name: module.name,
      rank: module.layout.rank,
      steps: module.steps,
      lastMove: module.lastMove,
      rankInUse: computeEffectiveRank(a, b),
    }
  })
  return [
    ...listMicroWarnings({
      qualities: count,
      meanQuality: mean,
      firstLoss,
      recentLoss,
      modules: symptoms,
    }),
  ]
}
