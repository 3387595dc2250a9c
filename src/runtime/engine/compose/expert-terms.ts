// Which experts act on a sequence's next token, and with which factor: one, none, or two during a
// fade. Independent of slots and feeds.

import { computeShares, findNextChange } from './fade-plan.ts'
import type { ExpertHandle, Lease } from '../pool/adapter-pool.ts'
import type { PlannedStage } from './resolve-expert.ts'

/** What is needed of a sequence. */
export interface ExpertRow {
  readonly handle: ExpertHandle | undefined
  readonly stages: readonly PlannedStage[] | undefined
  readonly lease: Lease | undefined
  /** Of the stages behind the first one. */
  readonly laterLeases: readonly (Lease | undefined)[]
  /** The position from which its expert acts. */
  readonly activeFrom: number
  /** Tokens of the prompt, and virtual ones before it. */
  readonly promptTokens: number
  readonly virtualTokens: number
  /** Positions whose keys and values are in the row. */
  readonly computed: number
}

/**
 * Whether an adapter has virtual tokens. After their prefill only its part in slots acts, if it has
 * one.
 */
export const isVirtual = ({ handle }: Pick<ExpertRow, 'handle'>): boolean =>
  (handle?.virtualTokens ?? 0) > 0

/** An expert that acts, and the factor of its low-rank part. */
export interface ExpertTerm {
  readonly lease: Lease
  readonly gain: number
}

/** The token of the answer that the token at a position chooses; below 0 inside of the prompt. */
const toAnswerIndex = ({ virtualTokens, promptTokens }: ExpertRow, position: number): number =>
  position + 1 - virtualTokens - promptTokens

/**
 * The experts for the next `tokens` tokens of a sequence; the shared form's gain selects the
 * tokens. The base has no term.
 */
export function listTerms(task: ExpertRow, tokens: number): readonly ExpertTerm[] {
  const { lease, laterLeases, stages, activeFrom } = task
  if (!stages) {
    if (!lease) return []
    return [{ lease, gain: activeFrom < task.computed + tokens ? 1 : 0 }]
  }
  const leases = [lease, ...laterLeases]
  return computeShares(stages, toAnswerIndex(task, task.computed)).flatMap(({ stage, share }) => {
    const own = leases[stage]
    return own ? [{ lease: own, gain: share }] : []
  })
}

/**
 * Whether the sequence is in a fade between two experts, so that its tokens are computed one at a
 * time.
 */
export const isBlended = (task: ExpertRow): boolean =>
  task.stages !== undefined &&
  computeShares(task.stages, toAnswerIndex(task, task.computed)).length > 1

/** How many tokens from the next one on have the same experts and factors. */
export function countAlike(task: ExpertRow): number {
  if (!task.stages) return Infinity
  const index = toAnswerIndex(task, task.computed)
  return findNextChange(task.stages, index) - index
}
