// Logistic regression on a handful of signals, by Newton's steps: turns signals into the
// probability that a decision is right.

/** One decision on a held-out prompt. */
export interface JudgedDecision {
  readonly signals: readonly number[]
  readonly isRight: boolean
  readonly weight: number
}

/** Pulls weights to zero, so that signals that separate perfectly give finite ones. */
const ridge = 1e-2
const mostSteps = 50

/** σ(w·s + constant); the constant is the last weight. */
export function computeLogistic(weights: readonly number[], signals: readonly number[]): number {
  let sum = weights.at(-1) ?? 0
  signals.forEach((signal, i) => (sum += weights[i]! * signal))
  return 1 / (1 + Math.exp(-sum))
}

/** The weights that make the judgements most likely; one for each signal, then the constant. */
export function fitLogistic(rows: readonly JudgedDecision[]): number[] {
  const count = (rows[0]?.signals.length ?? 0) + 1
  const scale = computeScales(rows, count - 1)
  const scaled = rows.map(({ signals, isRight, weight }) => ({
    x: [...signals.map((value, i) => (value - scale.means[i]!) / scale.widths[i]!), 1],
    isRight,
    weight,
  }))
  let weights = new Array<number>(count).fill(0)
  for (let step = 0; step < mostSteps; step++) {
    const { gradient, curvature } = differentiate(scaled, weights)
    const change = solveSmall(curvature, gradient)
    weights = weights.map((value, i) => value + change[i]!)
    if (change.every((value) => Math.abs(value) < 1e-8)) break
  }
  return restoreScale(weights, scale)
}

interface Scales {
  readonly means: readonly number[]
  readonly widths: readonly number[]
}

function computeScales(rows: readonly JudgedDecision[], count: number): Scales {
  const at = (i: number): number[] => rows.map(({ signals }) => signals[i]!)
  const columns = Array.from({ length: count }, (_, i) => at(i))
  const means = columns.map((column) => column.reduce((a, b) => a + b, 0) / column.length)
  const widths = columns.map(
    (column, i) =>
      Math.sqrt(column.reduce((sum, value) => sum + (value - means[i]!) ** 2, 0) / column.length) ||
      1,
  )
  return { means, widths }
}

function restoreScale(weights: readonly number[], { means, widths }: Scales): number[] {
  const own = widths.map((width, i) => weights[i]! / width)
  const shift = own.reduce((sum, weight, i) => sum + weight * means[i]!, 0)
  return [...own, weights.at(-1)! - shift]
}

interface ScaledRow {
  readonly x: readonly number[]
  readonly isRight: boolean
  readonly weight: number
}

/** Slope of the log-likelihood, and minus its second derivative. */
function differentiate(rows: readonly ScaledRow[], weights: readonly number[]) {
  const count = weights.length
  const gradient = weights.map((weight, i) => (i < count - 1 ? -ridge * weight : 0))
  const curvature = weights.map((_, i) =>
    weights.map((__, j) => (i === j ? (i < count - 1 ? ridge : 1e-9) : 0)),
  )
  for (const { x, isRight, weight } of rows) {
    const sum = x.reduce((total, value, i) => total + value * weights[i]!, 0)
    const share = 1 / (1 + Math.exp(-sum))
    const slope = weight * ((isRight ? 1 : 0) - share)
    const bend = weight * share * (1 - share)
    for (let i = 0; i < count; i++) {
      gradient[i]! += slope * x[i]!
      for (let j = 0; j < count; j++) curvature[i]![j]! += bend * x[i]! * x[j]!
    }
  }
  return { gradient, curvature }
}

/** Solves m·x = b for a small positive definite m, by Gauss with pivots. */
function solveSmall(m: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = m.map((row, i) => [...row, b[i]!])
  const count = b.length
  for (let i = 0; i < count; i++) {
    let pivot = i
    for (let k = i + 1; k < count; k++)
      if (Math.abs(rows[k]![i]!) > Math.abs(rows[pivot]![i]!)) pivot = k
    ;[rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!]
    for (let k = i + 1; k < count; k++) {
      const factor = rows[k]![i]! / rows[i]![i]!
      for (let j = i; j <= count; j++) rows[k]![j]! -= factor * rows[i]![j]!
    }
  }
  const x = new Array<number>(count).fill(0)
  for (let i = count - 1; i >= 0; i--) {
    let rest = rows[i]![count]!
    for (let j = i + 1; j < count; j++) rest -= rows[i]![j]! * x[j]!
    x[i] = rest / rows[i]![i]!
  }
  return x
}
