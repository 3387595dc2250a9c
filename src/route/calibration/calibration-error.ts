// The difference between confidences and observed frequencies: the expected calibration error, and
// coverage against errors.

/** Bins of the expected calibration error, as in Guo et al. 2017. */
const bins = 15

/**
 * Σ over bins of confidence of (share of rows) · |mean confidence − share of right ones|, 0–1. Guo
 * et al. 2017, "On Calibration of Modern Neural Networks". 0 without rows.
 */
export function computeCalibrationError(
  confidences: readonly number[],
  areRight: readonly boolean[],
): number {
  const sums = new Float64Array(bins)
  confidences.forEach((confidence, i) => {
    const bin = Math.min(bins - 1, Math.floor(confidence * bins))
    sums[bin]! += confidence - (areRight[i] ? 1 : 0)
  })
  return sums.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(1, confidences.length)
}

/** A decision on a prompt whose right expert is known. */
export interface RatedDecision {
  readonly confidence: number
  /** The best expert is the right one; of a prompt out of scope never. */
  readonly isRight: boolean
  readonly isInScope: boolean
}

/** Coverage and errors at one threshold. */
export interface CoveragePoint {
  readonly threshold: number
  /** Share of the prompts in scope that an expert answers. */
  readonly coverage: number
  /** Share of answers by an expert that is not the right one, of prompts in scope. */
  readonly errors: number
  /** Share of the prompts out of scope that the base answers; undefined if there are none. */
  readonly outOfScopeRecall: number | undefined
}

/** Coverage against errors at these shares of refused prompts in scope. */
export function computeCoverage(
  rows: readonly RatedDecision[],
  refusals: readonly number[],
): CoveragePoint[] {
  const inScope = rows.filter(({ isInScope }) => isInScope)
  const strange = rows.filter(({ isInScope }) => !isInScope)
  const sorted = inScope.map(({ confidence }) => confidence).toSorted((a, b) => a - b)
  return refusals.map((share) => {
    const threshold = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    const answered = inScope.filter(({ confidence }) => confidence >= threshold)
    const refused = strange.filter(({ confidence }) => confidence < threshold)
    return {
      threshold,
      coverage: answered.length / Math.max(1, inScope.length),
      errors: answered.filter(({ isRight }) => !isRight).length / Math.max(1, answered.length),
      outOfScopeRecall: strange.length === 0 ? undefined : refused.length / strange.length,
    }
  })
}
