// The cost of several tokens of a row at once, compared with one token: the model of cost by which
// drafts are chosen. The costs are constants instead of measured times, so that the same request
// always takes the same calls. They were measured on SmolLM2-135M (docs/speculation.md); an
// approximation suffices.

import type { Accuracy } from '../../../compute/pack-linears.ts'

/** The unit is the cost of decoding one token of one row. */
interface CallCosts {
  /** Of the first token, and of each further one, in a call that verifies drafts. */
  readonly first: number
  readonly further: number
  /** Of a second row in a decode call. */
  readonly row: number
}

const costs: Readonly<Record<Accuracy, CallCosts>> = {
  fast: { first: 1, further: 0.14, row: 0.2 },
  exact: { first: 1.8, further: 0.16, row: 1.1 },
}

/** The cost of a call that computes `tokens` tokens of a row. */
export const estimateAheadCost = (tokens: number, accuracy: Accuracy): number =>
  costs[accuracy].first + costs[accuracy].further * (tokens - 1)

/** The cost of a call that decodes one token of each of `rows` rows. */
export const estimateWriteCost = (rows: number, accuracy: Accuracy): number =>
  rows === 0 ? 0 : 1 + costs[accuracy].row * (rows - 1)
