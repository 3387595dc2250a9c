// Which rows speculate in a step: only if at most two rows decode, and separate calls yield more
// tokens for their cost than one call for all. Independent of programs.

import type { Accuracy } from '../../../compute/pack-linears.ts'
import { estimateWriteCost } from './draft-costs.ts'
import type { Draft } from './speculation.ts'

/**
 * The most rows with which drafts are tried. With more rows, one decode call for all costs little
 * more than for one.
 */
export const MOST_ROWS_AHEAD = 2

/** The ratio by which a plan must be better than one call for all. */
const LEAST_GAIN = 1.05

/** The rows that speculate, with their drafts. `drafts` has an entry for each row that decodes. */
export function planDrafts<Row>(
  drafts: ReadonlyMap<Row, Draft | undefined>,
  accuracy: Accuracy,
): Map<Row, Draft> {
  const found = [...drafts].flatMap(([row, draft]) => (draft ? [[row, draft] as const] : []))
  if (found.length === 0 || drafts.size > MOST_ROWS_AHEAD) return new Map()
  // Only one row: its draft pays off, or is a trial.
  if (drafts.size === 1) return new Map(found)
  let best = (LEAST_GAIN * drafts.size) / estimateWriteCost(drafts.size, accuracy)
  let chosen: (readonly [Row, Draft])[] = []
  for (const choice of listChoices(found)) {
    const others = drafts.size - choice.length
    const tokens = choice.reduce((sum, [, { expected }]) => sum + expected, others)
    const cost = choice.reduce(
      (sum, [, draft]) => sum + draft.cost,
      estimateWriteCost(others, accuracy),
    )
    if (tokens / cost <= best) continue
    best = tokens / cost
    chosen = choice
  }
  return new Map(chosen)
}

/** Each alone, and both. */
const listChoices = <Item>(items: readonly Item[]): Item[][] =>
  items.length < 2 ? [[...items]] : [...items.map((item) => [item]), [...items]]
