// Evaluates a router on prompts whose right expert is known: accuracy, refused prompts, calibration
// error, coverage against errors, time.

import {
  computeCalibrationError,
  computeCoverage,
  type CoveragePoint,
} from './calibration/calibration-error.ts'
import { computeWilsonInterval, type ConfidenceInterval } from '../eval/statistics.ts'
import type { RouteDecision, RouteExample, Router } from './router.ts'

export interface RouterEvaluation {
  /** Prompts in scope, and out of it. */
  readonly rows: number
  readonly outOfScopeRows: number
  /** Share of the prompts in scope whose best expert is right, whatever the confidence. */
  readonly accuracy: number
  readonly interval: ConfidenceInterval
  /** Share of the prompts in scope that the right expert answers. */
  readonly answeredRight: number
  /** Share of the prompts in scope that the base answers. */
  readonly refused: number
  /** Share of the prompts out of scope that the base answers; undefined without such prompts. */
  readonly outOfScopeRecall: number | undefined
  readonly calibrationError: number
  readonly coverage: readonly CoveragePoint[]
  /** Milliseconds of a decision. */
  readonly medianMs: number
  readonly p99Ms: number
  /** Experts that are taken for each other most often. */
  readonly confusions: readonly {
    readonly right: string
    readonly got: string
    readonly rows: number
  }[]
}

export interface EvaluateRouterOptions {
  readonly signal?: AbortSignal | undefined
  /** Milliseconds. */
  readonly now: () => number
  readonly onProgress?: ((done: number) => void) | undefined
}

const refusalShares = [0, 0.01, 0.03, 0.05, 0.1, 0.2]
const mostConfusions = 10

export async function evaluateRouter(
  router: Router,
  examples: readonly RouteExample[],
  { signal, now, onProgress }: EvaluateRouterOptions,
): Promise<RouterEvaluation> {
  const decisions: RouteDecision[] = []
  const times: number[] = []
  for (const { text } of examples) {
    const start = now()
    decisions.push(await router.decide({ text }, signal))
    times.push(now() - start)
    onProgress?.(decisions.length)
  }
  return { ...judgeDecisions(examples, decisions), ...summarizeTimes(times) }
}

/** The same evaluation of existing decisions. */
export function judgeDecisions(
  examples: readonly RouteExample[],
  decisions: readonly RouteDecision[],
): Omit<RouterEvaluation, 'medianMs' | 'p99Ms'> {
  const rated = decisions.map(({ confidence, scores }, i) => ({
    confidence,
    isRight: examples[i]!.expert !== undefined && scores[0]?.expert === examples[i]!.expert,
    isInScope: examples[i]!.expert !== undefined,
  }))
  const inScope = rated.filter(({ isInScope }) => isInScope)
  const hits = inScope.filter(({ isRight }) => isRight).length
  const share = (
    test: (decision: RouteDecision, example: RouteExample) => boolean,
    of: boolean,
  ) => {
    const own = decisions.filter((_, i) => rated[i]!.isInScope === of)
    const rows = examples.filter((_, i) => rated[i]!.isInScope === of)
    return own.filter((decision, i) => test(decision, rows[i]!)).length / Math.max(1, own.length)
  }
  const strange = rated.length - inScope.length
  return {
    rows: inScope.length,
    outOfScopeRows: strange,
    accuracy: hits / Math.max(1, inScope.length),
    interval: computeWilsonInterval(hits, inScope.length),
    answeredRight: share(({ expert }, example) => expert === example.expert, true),
    refused: share(({ expert }) => expert === undefined, true),
    outOfScopeRecall:
      strange === 0 ? undefined : share(({ expert }) => expert === undefined, false),
    calibrationError: computeCalibrationError(
      inScope.map(({ confidence }) => confidence),
      inScope.map(({ isRight }) => isRight),
    ),
    coverage: computeCoverage(rated, refusalShares),
    confusions: countConfusions(examples, decisions),
  }
}

function summarizeTimes(times: readonly number[]): { medianMs: number; p99Ms: number } {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0
  return { medianMs: at(0.5), p99Ms: at(0.99) }
}

function countConfusions(
  examples: readonly RouteExample[],
  decisions: readonly RouteDecision[],
): RouterEvaluation['confusions'] {
  const counts = new Map<string, { right: string; got: string; rows: number }>()
  decisions.forEach(({ scores }, i) => {
    const right = examples[i]!.expert
    const got = scores[0]?.expert ?? 'none'
    if (right === undefined || got === right) return
    const key = JSON.stringify([right, got])
    const rows = (counts.get(key)?.rows ?? 0) + 1
    counts.set(key, { right, got, rows })
  })
  return [...counts.values()].toSorted((a, b) => b.rows - a.rows).slice(0, mostConfusions)
}
