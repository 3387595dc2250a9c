// Trains routers that consist of others: first on a part of the examples, to observe their
// decisions on the rest; then on all examples.

import { OptionError } from '../../base/errors.ts'
import type { RouteDecision, RouteExample, Router, RouterParts, RouterTraining } from '../router.ts'
import { type NumberedPrompt, prepareTraining } from './training-set.ts'

/** A held-out prompt and a router's decision on it. */
export interface HeldDecision {
  readonly right: string | undefined
  readonly decision: RouteDecision
}

export interface SplitTraining {
  /** Without the held-out prompts. */
  readonly first: RouterTraining
  /** With them, where they were a part of the examples. */
  readonly whole: RouterTraining
  /** The held-out prompts. */
  readonly held: readonly RouteExample[]
}

export function splitTraining(
  training: RouterTraining,
  kind: string,
  holdOut: number | undefined,
): SplitTraining {
  const { fitted, held, names, isSplit } = prepareTraining(training, kind, holdOut)
  const toExamples = (rows: readonly NumberedPrompt[]): RouteExample[] =>
    rows.map(({ text, expert }) => ({ text, expert: names[expert] }))
  // manifests' examples are among the rows already
  const experts = training.experts.map((expert) => ({ ...expert, examples: [] }))
  const rows = toExamples(held)
  const { seed } = training
  const first = { experts, examples: toExamples(fitted), held: rows, seed }
  const all = isSplit ? [...first.examples, ...rows] : first.examples
  return { first, whole: { experts, examples: all, held: isSplit ? [] : rows, seed }, held: rows }
}

export const decideAll = (router: Router, rows: readonly RouteExample[]): Promise<HeldDecision[]> =>
  Promise.all(
    rows.map(async ({ text, expert }) => ({
      right: expert,
      decision: await router.decide({ text }),
    })),
  )

/**
 * The function that trains routers within a router. Throws OptionError if the caller passes none.
 */
export function getTrainer(
  { train }: RouterParts,
  kind: string,
): NonNullable<RouterParts['train']> {
  if (train) return train
  throw new OptionError(`Router "${kind}" trains others: make it with createRouter.`)
}
