// Scores of positions under the mix of model and memory, and what the memory's gate learns from
// them. Independent of how logits and retrievals were computed.

import type { PositionTarget } from './head-gradient.ts'
import {
  computeInterpolationWeight,
  computeTokenShare,
  type GateExample,
  type GateState,
} from './memory-gate.ts'
import type { Retrieval } from './retrieval.ts'
import type { Scores } from './training-example.ts'

/** A position's logit summary, target and retrieval. */
export interface Position extends PositionTarget {
  readonly retrieval: Retrieval | undefined
}

const toGateExample = (
  { retrieval, summary, token, weight }: Position,
  modelLoss: number,
): GateExample | undefined =>
  retrieval && {
    retrieval,
    token,
    largest: summary.largest,
    model: Math.exp(-modelLoss),
    cache: computeTokenShare(retrieval, token),
    weight: Math.max(0, weight),
  }

/** Losses before anything is learned, and one gate example for each position with a retrieval. */
export function scorePositions(
  positions: readonly Position[],
  gate: GateState,
): { scores: Scores; gateExamples: readonly GateExample[] } {
  const modelLosses = Float32Array.from(positions, ({ summary, logit }) => summary.total - logit)
  const examples = positions.map((position, t) => toGateExample(position, modelLosses[t]!))
  const losses = modelLosses.map((loss, t) => {
    const example = examples[t]
    if (!example) return loss
    const share = computeInterpolationWeight(gate, example.retrieval, example.largest)
    const mixed = (1 - share) * example.model + share * example.cache
    return -Math.log(Math.max(Number.MIN_VALUE, mixed))
  })
  const counted = [...losses].filter((_, t) => positions[t]!.weight !== 0)
  const surprise =
    counted.reduce((sum, loss) => sum + 1 - Math.exp(-loss), 0) / Math.max(1, counted.length)
  return {
    scores: { losses, modelLosses, surprise },
    gateExamples: examples.filter((example) => example !== undefined),
  }
}
