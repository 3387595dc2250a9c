// Calibration of a router on prompts that it was not fitted on: the temperature of its softmax, the
// probability that its best expert is right, and the threshold below which the base answers.

import type { Calibration } from '../router-file.ts'
import { computeCalibrationError } from './calibration-error.ts'
import { computeLogistic, fitLogistic, type JudgedDecision } from './logistic.ts'
import { computeSoftmax } from './make-decision.ts'

/** Scores of one held-out prompt and the index of its right expert; undefined: out of scope. */
export interface JudgedScores {
  readonly logits: Float64Array
  readonly right: number | undefined
  /** The score of none of the experts, where the router has one. */
  readonly none?: number | undefined
}

export interface CalibrationOptions {
  /** The share of prompts within scope that may be refused: sets the threshold. */
  readonly refusals: number
  /** The share of requests that is expected to be out of scope. */
  readonly outOfScope: number
  /** A threshold instead of the one that `refusals` gives. */
  readonly threshold?: number | undefined
  readonly escalateBelow?: number | undefined
}

/** Prompts below which nothing is fitted, because a handful does not determine a probability. */
const leastRows = 10

/**
 * Signals of how reliable the best expert's score is: its share, its lead over the second, its
 * similarity, the similarity of all together, and its lead over "none of them" if that has a score.
 * Other scores are left out, so that the number of signals does not depend on the number of
 * experts.
 */
export function computeSignals(
  logits: ArrayLike<number>,
  temperature: number,
  none = -Infinity,
): number[] {
  let first = -Infinity
  let second = -Infinity
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i]!
    if (value > first) {
      second = first
      first = value
    } else if (value > second) second = value
  }
  const known =
    none === -Infinity ? [] : [Math.max(-50, Math.min((first - none) / temperature, 50))]
  if (first === -Infinity) return [0, 0, 0, 0, ...known.map(() => -50)]
  let sum = Math.exp(Math.min(50, (none - first) / temperature))
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i]! - first) / temperature)
  const next = Math.max(second, none)
  const lead = next === -Infinity ? 0 : Math.max(-50, Math.min((first - next) / temperature, 50))
  return [1 / sum, lead, first / temperature, first / temperature + Math.log(sum), ...known]
}

/**
 * Scores that the search for a temperature reads at most: of 1,000 experts those of 200 prompts.
 */
const mostScores = 200_000

/**
 * The temperature at which the right experts are most likely: a search by thirds on its logarithm.
 */
export function fitTemperature(rows: readonly JudgedScores[]): number {
  const all = rows.filter(({ right }) => right !== undefined)
  if (all.length < leastRows) return 1
  const most = Math.max(leastRows, Math.floor(mostScores / all[0]!.logits.length))
  const step = Math.ceil(all.length / most)
  const known = all.filter((_, i) => i % step === 0)
  const cost = (log: number): number =>
    known.reduce((sum, { logits, right }) => {
      const share = computeSoftmax(logits, Math.exp(log))[right!]!
      return sum - Math.log(Math.max(share, 1e-12))
    }, 0)
  let low = Math.log(1e-3)
  let high = Math.log(1e3)
  while (high - low > 1e-3) {
    const a = low + (high - low) / 3
    const b = high - (high - low) / 3
    if (cost(a) < cost(b)) high = b
    else low = a
  }
  return Math.exp((low + high) / 2)
}

const findBest = (logits: Float64Array): number =>
  logits.reduce((best, value, i) => (value > logits[best]! ? i : best), 0)

/**
 * The same prompt with its own expert taken away: every prompt then is one of an expert that is not
 * there, near those that are. So a router learns to say none without an example of none.
 */
function hideRight({ logits, right, none }: JudgedScores): JudgedScores {
  const others = logits.slice()
  others[right!] = -Infinity
  return { logits: others, right: undefined, none }
}

function judgeRows(
  rows: readonly JudgedScores[],
  temperature: number,
  outOfScope: number,
): JudgedDecision[] {
  const known = rows.filter(({ right }) => right !== undefined)
  const strange = rows.filter(({ right }) => right === undefined)
  // near-by prompts of none say less than prompts that really are of none, where the router knows
  // those
  const needsHidden = strange.length < leastRows / 2 || known[0]?.none === undefined
  const hidden = needsHidden && (known[0]?.logits.length ?? 0) > 2 ? known.map(hideRight) : []
  const toRow = ({ logits, right, none }: JudgedScores, weight: number): JudgedDecision => ({
    signals: computeSignals(logits, temperature, none),
    isRight: findBest(logits) === right,
    weight,
  })
  // examples of none, where there are some, count as much as all prompts with a hidden expert
  const total = (outOfScope / (1 - outOfScope)) * known.length
  const share = strange.length > 0 && hidden.length > 0 ? total / 2 : total
  return [
    ...known.map((row) => toRow(row, 1)),
    ...strange.map((row) => toRow(row, share / strange.length)),
    ...hidden.map((row) => toRow(row, share / hidden.length)),
  ]
}

/** How likely it is that the best expert is right. */
export function computeConfidence(
  logits: ArrayLike<number>,
  calibration: Calibration,
  none?: number,
): number {
  const { temperature = 1, signals } = calibration
  const values = computeSignals(logits, temperature, none)
  return signals ? computeLogistic(signals, values) : values[0]!
}

/** The largest threshold at which at most this share of the confidences is below. */
export function chooseThreshold(confidences: readonly number[], refusals: number): number {
  if (confidences.length === 0) return 0
  const sorted = confidences.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(refusals * sorted.length))]!
}

/**
 * Fits all of it. With fewer than 10 prompts nothing is fitted: the confidence is the softmax's,
 * and the threshold is 0 or the caller's.
 */
export function fitCalibration(
  rows: readonly JudgedScores[],
  { refusals, outOfScope, threshold, escalateBelow }: CalibrationOptions,
): Calibration {
  const known = rows.filter(({ right }) => right !== undefined)
  const escalation = escalateBelow === undefined ? {} : { escalateBelow }
  if (known.length < leastRows)
    return { temperature: 1, threshold: threshold ?? 0, rows: rows.length, ...escalation }
  const temperature = fitTemperature(rows)
  const judged = judgeRows(rows, temperature, outOfScope)
  const canLearn = judged.some(({ isRight }) => isRight) && judged.some(({ isRight }) => !isRight)
  const fitted: Calibration = { temperature, ...(canLearn && { signals: fitLogistic(judged) }) }
  const confidences = known.map(({ logits, none }) => computeConfidence(logits, fitted, none))
  return {
    temperature,
    threshold: threshold ?? chooseThreshold(confidences, refusals),
    ...escalation,
    ...(fitted.signals && { signals: fitted.signals }),
    error: computeCalibrationError(
      confidences,
      known.map(({ logits, right }) => findBest(logits) === right),
    ),
    rows: rows.length,
  }
}
