// Adafactor: the mean squared gradient of a matrix kept as a row and a column. Shazeer and Stern
// 2018, arXiv:1804.04235.

import { flag, number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Optimizer, ParameterUpdate } from './optimizer.ts'

const options = {
  decayRate: number({
    default: 0.8,
    above: 0,
    to: 1,
    about: 'decay of squared gradients: step t counts 1/tᵈ',
  }),
  clipThreshold: number({
    default: 1,
    above: 0,
    about: 'largest root mean square of an update before the learning rate',
  }),
  beta1: number({
    default: 0,
    from: 0,
    below: 1,
    about: 'momentum: the share of the mean update that is kept; 0: none',
  }),
  epsilon: number({
    default: 1e-30,
    from: 1e-37,
    about: 'added to squared gradients, so that none is zero',
  }),
  scaleParameter: flag({
    default: false,
    about: "multiplies the learning rate by the weights' root mean square",
  }),
  relativeStep: flag({
    default: false,
    about: 'multiplies the learning rate by min(0.01, 1/√step)',
  }),
  weightDecay: number({
    default: 0,
    from: 0,
    about: 'share of the weights subtracted at a step, times the learning rate',
  }),
}

export type AdafactorSettings = OptionValues<typeof options>

const leastScale = 1e-3 // the reference's second epsilon, so that zero weights can change

/** √(Σ x² / n); 0 for no numbers. */
function computeRootMeanSquare(values: Float32Array | Float64Array): number {
  const size = values.length
  let sum = 0
  for (let i = 0; i < size; i++) sum += values[i]! * values[i]!
  return size > 0 ? Math.sqrt(sum / size) : 0
}

/**
 * One matrix's gradient divided by √V, V = row·column/mean(row), after row [rows] and column
 * [columns] are updated with the gradient's squares.
 */
function scaleMatrix(
  scaled: Float64Array,
  gradient: Float32Array,
  row: Float32Array,
  column: Float32Array,
  kept: number,
  epsilon: number,
) {
  const rows = row.length
  const columns = column.length
  const columnSums = new Float64Array(columns)
  let mean = 0
  for (let r = 0; r < rows; r++) {
    let rowSum = 0
    for (let c = 0; c < columns; c++) {
      const g = gradient[r * columns + c]!
      const squared = g * g + epsilon
      rowSum += squared
      columnSums[c]! += squared
    }
    row[r] = kept * row[r]! + ((1 - kept) * rowSum) / columns
    mean += row[r]! / rows
  }
  for (let c = 0; c < columns; c++)
    column[c] = kept * column[c]! + ((1 - kept) * columnSums[c]!) / rows
  const columnScales = Float64Array.from(column, (value) => 1 / Math.sqrt(value))
  for (let r = 0; r < rows; r++) {
    const rowScale = Math.sqrt(mean / row[r]!)
    for (let c = 0; c < columns; c++)
      scaled[r * columns + c] = gradient[r * columns + c]! * rowScale * columnScales[c]!
  }
}

/**
 * g/√V from the stored moments of V, which are updated first. Each matrix of a stack [.., rows,
 * columns] is handled separately.
 */
function scaleGradient(
  { gradient, shape, state, step }: ParameterUpdate,
  { decayRate, epsilon }: AdafactorSettings,
): Float64Array {
  const kept = 1 - step ** -decayRate
  const scaled = new Float64Array(gradient.length)
  const square = state['square']
  if (square) {
    for (let i = 0, size = scaled.length; i < size; i++) {
      const g = gradient[i]!
      const v = kept * square[i]! + (1 - kept) * (g * g + epsilon)
      square[i] = v
      scaled[i] = g / Math.sqrt(v)
    }
    return scaled
  }
  const rows = shape.at(-2)!
  const columns = shape.at(-1)!
  const part = <Values extends Float32Array | Float64Array>(
    values: Values,
    i: number,
    size: number,
  ): Values => values.subarray(i * size, (i + 1) * size) as Values
  for (let i = 0; i * rows * columns < scaled.length; i++)
    scaleMatrix(
      part(scaled, i, rows * columns),
      part(gradient, i, rows * columns),
      part(state['row']!, i, rows),
      part(state['column']!, i, columns),
      kept,
      epsilon,
    )
  return scaled
}

/**
 * As transformers.optimization.Adafactor, whose scale_parameter and relative_step are off here
 * unless asked for:
 *
 * V ← κ·V + (1 − κ)(g² + ε), κ = 1 − t⁻ᵈ u ← g/√V u ← lr·u / max(1, rms(u)/clip) m ← β₁·m + (1 −
 * β₁)·u
 *     w ← w·(1 − lr·decay) − m
 */
export const adafactor: Optimizer<AdafactorSettings> = {
  name: 'adafactor',
  about:
    'AdamW without momentum that keeps only a row and a column of second moments for each matrix',
  options,
  complete: (given) => readOptions('Adafactor', given, options),
  stateShapes: (shape, { beta1 }) => ({
    ...(shape.length < 2
      ? { square: shape }
      : { row: shape.slice(0, -1), column: [...shape.slice(0, -2), shape.at(-1)!] }),
    ...(beta1 > 0 ? { mean: shape } : {}),
  }),
  update(at, settings) {
    const { parameter, state, step } = at
    const { clipThreshold, beta1, scaleParameter, relativeStep, weightDecay } = settings
    const rate =
      at.learningRate *
      (relativeStep ? Math.min(0.01, 1 / Math.sqrt(step)) : 1) *
      (scaleParameter ? Math.max(leastScale, computeRootMeanSquare(parameter)) : 1)
    const update = scaleGradient(at, settings)
    const scale = rate / Math.max(1, computeRootMeanSquare(update) / clipThreshold)
    const mean = state['mean']
    const keep = 1 - weightDecay * rate
    const size = parameter.length
    for (let i = 0; i < size; i++) {
      let u = update[i]! * scale
      if (mean) mean[i] = u = beta1 * mean[i]! + (1 - beta1) * u
      parameter[i] = parameter[i]! * keep - u
    }
  },
}
