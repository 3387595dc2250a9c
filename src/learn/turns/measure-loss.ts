// Mean losses of turns under a user's tiers; nothing is learned.

import type { Expert } from '../../adapters/serving/mixture.ts'
import type { Model } from '../../runtime/index.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import type { Scores } from '../tiers/training-example.ts'
import type { EncodedTurn } from './encode-turn.ts'
import { computeTurnStates, type TurnStates } from './turn-states.ts'

export const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** Mean over turns of their mean losses, in nats per token. */
export interface MeanLosses {
  /** Under all tiers. */
  readonly mixed: number
  /** Under the model with the fast tier, without the memory. */
  readonly model: number
}

export async function measureLosses(
  turns: readonly TurnStates[],
  tiers: TierStack,
): Promise<MeanLosses> {
  const scores: Scores[] = []
  for (const turn of turns) scores.push(await tiers.score(turn))
  return {
    mixed: computeMean(scores.map(({ losses }) => computeMean(losses))),
    model: computeMean(scores.map(({ modelLosses }) => computeMean(modelLosses))),
  }
}

/** The mean loss under all tiers, with states from one pass of the model over each turn. */
export async function measureLoss(
  model: Model,
  turns: readonly EncodedTurn[],
  tiers: TierStack,
  adapter: Expert | undefined,
  layer?: number,
): Promise<number> {
  const losses: number[] = []
  for (const turn of turns) {
    const { losses: ofTurn } = await tiers.score(
      await computeTurnStates(model, turn, adapter, layer),
    )
    losses.push(computeMean(ofTurn))
  }
  return computeMean(losses)
}
