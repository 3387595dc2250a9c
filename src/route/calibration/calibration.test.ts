import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { computeCalibrationError, computeCoverage } from './calibration-error.ts'
import {
  chooseThreshold,
  computeConfidence,
  fitCalibration,
  fitTemperature,
  type JudgedScores,
} from './fit-calibration.ts'
import { computeLogistic, fitLogistic } from './logistic.ts'
import { computeSoftmax, makeDecision, quoteText, rankExperts } from './make-decision.ts'

/**
 * Prompts whose right expert is drawn from the softmax of their scores, which are then blown up.
 */
function createRows(count: number, blowUp: number): JudgedScores[] {
  const { normal, uniform } = random(3)
  return Array.from({ length: count }, () => {
    const logits = Float64Array.from({ length: 5 }, () => normal() * 2)
    const shares = computeSoftmax(logits)
    let rest = uniform()
    const right = shares.findIndex((share) => (rest -= share) < 0)
    return { logits: logits.map((value) => value * blowUp), right: Math.max(0, right) }
  })
}

describe('calibration', () => {
  it('finds the temperature that scores were blown up by', () => {
    expect(fitTemperature(createRows(4000, 7))).toBeCloseTo(7, -0.3)
    expect(Math.abs(fitTemperature(createRows(4000, 7)) / 7 - 1)).toBeLessThan(0.1)
    expect(fitTemperature(createRows(3, 7))).toBe(1)
  })
  it('computes the expected calibration error of a worked example', () => {
    // two bins: |0.9·2 − 1| = 0.8 of the first two, |0.3 − 0| of the third; over 3 rows
    expect(computeCalibrationError([0.9, 0.9, 0.3], [true, false, false])).toBeCloseTo(1.1 / 3, 10)
    expect(computeCalibrationError([], [])).toBe(0)
  })
  it('is nearly right where no prompt is out of scope, and refuses what it is asked to', () => {
    const rows = createRows(4000, 7)
    const calibration = fitCalibration(rows, { refusals: 0.03, outOfScope: 0.02 })
    expect(calibration.error).toBeLessThan(0.05)
    const refused = rows.filter(
      ({ logits }) => computeConfidence(logits, calibration) < calibration.threshold!,
    )
    expect(refused.length / rows.length).toBeCloseTo(0.03, 2)
  })
  it('learns to refuse what is near no expert from prompts whose expert is hidden', () => {
    // distance to the right expert is small, to all others large; strange prompts are far from all
    const { normal, integer } = random(5)
    const near = (): JudgedScores => {
      const right = integer(6)
      const logits = Float64Array.from({ length: 6 }, (_, i) => -(i === right ? 2 : 30) + normal())
      return { logits, right }
    }
    const rows = Array.from({ length: 200 }, near)
    const calibration = fitCalibration(rows, { refusals: 0.03, outOfScope: 0.1 })
    const strange = Float64Array.from({ length: 6 }, (_, i) => -30 + i)
    expect(computeConfidence(strange, calibration)).toBeLessThan(calibration.threshold!)
    expect(computeConfidence(rows[0]!.logits, calibration)).toBeGreaterThan(0.9)
  })
  it('leaves a handful of prompts alone', () => {
    const few = createRows(5, 1)
    expect(fitCalibration(few, { refusals: 0.03, outOfScope: 0.1 })).toEqual({
      temperature: 1,
      threshold: 0,
      rows: 5,
    })
  })
  it('takes a threshold that is given', () => {
    const options = { refusals: 0.03, outOfScope: 0.1, threshold: 0.5, escalateBelow: 0.2 }
    expect(fitCalibration(createRows(100, 1), options)).toMatchObject({
      threshold: 0.5,
      escalateBelow: 0.2,
    })
  })
  it('prints coverage against errors', () => {
    const rows = [0.1, 0.4, 0.8, 0.9].map((confidence, i) => ({
      confidence,
      isRight: i !== 1,
      isInScope: true,
    }))
    const strange = { confidence: 0.3, isRight: false, isInScope: false }
    expect(computeCoverage([...rows, strange], [0, 0.25, 0.5])).toEqual([
      { threshold: 0.1, coverage: 1, errors: 0.25, outOfScopeRecall: 0 },
      { threshold: 0.4, coverage: 0.75, errors: 1 / 3, outOfScopeRecall: 1 },
      { threshold: 0.8, coverage: 0.5, errors: 0, outOfScopeRecall: 1 },
    ])
    expect(computeCoverage(rows, [0])[0]!.outOfScopeRecall).toBeUndefined()
    expect(chooseThreshold([], 0.1)).toBe(0)
  })
})

describe('logistic regression', () => {
  it('finds the weights that labels were drawn with', () => {
    const { normal, uniform } = random(1)
    const rows = Array.from({ length: 20_000 }, () => {
      const signals = [normal(), 3 + normal()]
      return { signals, isRight: uniform() < computeLogistic([2, -1, 0.5], signals), weight: 1 }
    })
    const [a, b, c] = fitLogistic(rows) as [number, number, number]
    expect(a).toBeCloseTo(2, 0)
    expect(b).toBeCloseTo(-1, 0)
    expect(Math.abs(c - 0.5)).toBeLessThan(0.3)
  })
  it('stays finite if one signal is sufficient', () => {
    const rows = [0, 0, 0, 1, 1, 1].map((x) => ({ signals: [x], isRight: x === 1, weight: 1 }))
    expect(fitLogistic(rows).every(Number.isFinite)).toBe(true)
  })
})

describe('a decision', () => {
  it('ranks experts, and is the base’s below the threshold, with the reason', () => {
    const scores = rankExperts(['a', 'b', 'c'], [0.2, 0.7, 0.1], 2)
    expect(scores).toEqual([
      { expert: 'b', score: 0.7 },
      { expert: 'a', score: 0.2 },
    ])
    const because = 'it is near'
    const sure = makeDecision({ scores, confidence: 0.7, calibration: { threshold: 0.5 }, because })
    expect([sure.expert, sure.reason]).toEqual(['b', 'b at 70.0 %, because it is near.'])
    const unsure = makeDecision({
      scores,
      confidence: 0.4,
      calibration: { threshold: 0.5 },
      because,
    })
    expect(unsure.expert).toBeUndefined()
    expect(unsure.reason).toMatch(/best expert, b, has only 40\.0 % and 50\.0 % are needed/)
    expect(makeDecision({ scores: [], confidence: 0.4, calibration: {}, because }).confidence).toBe(
      0,
    )
  })
  it('quotes a text on one line', () => {
    expect(quoteText('a\n\u0000b')).toBe('"a b"')
    expect(quoteText('x'.repeat(1000))).toHaveLength(62)
  })
  it('shares nothing if no expert has a score', () => {
    expect([...computeSoftmax([-Infinity, -Infinity])]).toEqual([0, 0])
  })
})
