// Which expert writes which token of an answer, and with which share: a plan over stages, by the
// token's position in the answer. Independent of sequences and leases.

/** Where a stage takes over; see FadeStage. */
export interface StageSpan {
  readonly from: number
  readonly to: number
}

/** A stage that acts on a token, and its share: shares of one token sum to 1. */
export interface StageShare {
  /** Index of the stage. */
  readonly stage: number
  readonly share: number
}

/**
 * The shares of the stages for token `index` of an answer; the prompt has those of token 0.
 * `stages` are in rising order, and the first is { from: 0, to: 0 }.
 */
export function computeShares(stages: readonly StageSpan[], index: number): readonly StageShare[] {
  const stage = stages.findLastIndex(({ from, to }) => index > from || index >= to)
  if (stage <= 0) return [{ stage: 0, share: 1 }]
  const { from, to } = stages[stage]!
  if (index >= to) return [{ stage, share: 1 }]
  const share = (index - from) / (to - from)
  return [
    { stage: stage - 1, share: 1 - share },
    { stage, share },
  ]
}

/** The first token after `index` that has other shares; Infinity if there is none. */
export function findNextChange(stages: readonly StageSpan[], index: number): number {
  const changes = stages.slice(1).flatMap(({ from, to }) => {
    if (index >= to) return []
    if (from === to) return [to]
    return [index > from ? index + 1 : from + 1]
  })
  return Math.min(Infinity, ...changes)
}
