// What a user can act on: one-sided feedback, rates that are too small, a rank that does not fit.
// Reads figures, changes nothing.

export interface MicroLoraWarning {
  readonly code: 'one-sided-feedback' | 'rate-too-small' | 'rank-too-large' | 'rank-too-small'
  readonly message: string
}

export interface Symptoms {
  readonly qualities: number
  readonly meanQuality: number
  readonly firstLoss: number
  readonly recentLoss: number
  readonly modules: readonly {
    readonly name: string
    readonly rank: number
    readonly steps: number
    readonly lastMove: number
    /** From `computeEffectiveRank`; undefined if B is zero. */
    readonly rankInUse: number | undefined
  }[]
}

const enoughQualities = 20
const enoughSteps = 20
// Steps as shares of the weights' length, and the share of the first loss above which they are too
// small. Losses of single examples are noisy, so where a step is next to nothing the loss must have
// fallen far to excuse it.
const tooSmall = [
  { move: 1e-4, loss: 0.98 },
  { move: 1e-6, loss: 0.5 },
]

const formatFigure = (value: number): string => String(Number(value.toPrecision(2)))

function* listFeedbackWarnings({ qualities, meanQuality }: Symptoms): Generator<MicroLoraWarning> {
  if (qualities < enoughQualities || (meanQuality >= 0.4 && meanQuality <= 0.9)) return
  const message = `The mean quality of ${qualities} is ${formatFigure(meanQuality)}, outside 0.4 to 0.9: nearly all feedback is the same, so it hardly distinguishes good from bad. Ask for the other sort too, or set normalizeQuality.`
  yield { code: 'one-sided-feedback', message }
}

/** Which warnings the figures call for. */
export function* listMicroWarnings(symptoms: Symptoms): Generator<MicroLoraWarning> {
  yield* listFeedbackWarnings(symptoms)
  const { firstLoss, recentLoss } = symptoms
  for (const { name, rank, steps, lastMove, rankInUse } of symptoms.modules) {
    if (steps < enoughSteps) continue
    if (
      tooSmall.some(
        ({ move, loss }) => lastMove < move && (firstLoss === 0 || recentLoss > loss * firstLoss),
      )
    ) {
      const message = `${name}: the last step moved the weights by ${formatFigure(lastMove)} of their length, and little was learned: the learning rate is too small. Try ten times as much.`
      yield { code: 'rate-too-small', message }
    }
    if (rankInUse === undefined) continue
    if (rank > 2 && rankInUse < 0.5 * rank) {
      const message = `${name}: of rank ${rank} about ${formatFigure(rankInUse)} is in use; rank ${Math.max(1, Math.ceil(rankInUse))} would do, in less memory and time.`
      yield { code: 'rank-too-large', message }
    }
    if (
      rank < 16 &&
      rankInUse > 0.8 * rank &&
      firstLoss > 0 &&
      recentLoss > 0.5 * firstLoss &&
      lastMove < 0.01
    ) {
      const message = `${name}: all of rank ${rank} is in use, and the loss is still ${formatFigure(recentLoss / firstLoss)} of what it was at first; try rank ${Math.min(16, 2 * rank)}.`
      yield { code: 'rank-too-small', message }
    }
  }
}

/**
 * (Σσ²)² / Σσ⁴ of B·A by its singular values σ, from A's and B's rows [R, length]: R where all
 * count alike, 1 where one does; undefined for zero.
 */
export function computeEffectiveRank(
  a: readonly Float32Array[],
  b: readonly Float32Array[],
): number | undefined {
  const gram = (rows: readonly Float32Array[]): number[][] =>
    rows.map((row) =>
      rows.map((other) => row.reduce((sum, value, i) => sum + value * other[i]!, 0)),
    )
  const left = gram(a)
  const right = gram(b)
  const product = left.map((row) =>
    right.map((_, j) => row.reduce((sum, value, k) => sum + value * right[k]![j]!, 0)),
  ) // eigenvalues σ²
  const trace = product.reduce((sum, row, i) => sum + row[i]!, 0)
  const traceOfSquare = product.reduce(
    (sum, row, i) => sum + row.reduce((own, value, j) => own + value * product[j]![i]!, 0),
    0,
  )
  return trace > 0 && traceOfSquare > 0 ? (trace * trace) / traceOfSquare : undefined
}
