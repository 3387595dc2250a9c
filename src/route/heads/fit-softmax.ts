// Multinomial logistic regression over a few hundred numbers: batches in a drawn order, Adam, a rate
// that falls as a cosine, smoothed labels. The same examples give the same weights.

import { multiply } from '../../base/linalg/matmul.ts'
import { createMatrix, type Matrix, transpose } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { random } from '../../base/random.ts'

export interface SoftmaxWeights {
  /** [C, K] */
  readonly weights: Float32Array
  /** [C] */
  readonly bias: Float32Array
}

/** Chosen on clinc150 and banking77; less changes little. */
const settings = {
  epochs: 12,
  leastSteps: 300, // more epochs for few examples
  batch: 256,
  learningRate: 0.02,
  decay: 1e-4, // of the squared weights
  smoothing: 0.05, // of the labels
} as const

/** Adam over one array. */
function createAdam(values: Float32Array) {
  const mean = new Float32Array(values.length)
  const square = new Float32Array(values.length)
  return (gradient: Float32Array, rate: number, step: number, decay: number): void => {
    const first = rate / (1 - 0.9 ** step)
    const second = 1 / (1 - 0.999 ** step)
    for (let i = 0; i < values.length; i++) {
      const slope = gradient[i]! + decay * values[i]!
      mean[i] = 0.9 * mean[i]! + 0.1 * slope
      square[i] = 0.999 * square[i]! + 0.001 * slope * slope
      values[i]! -= (first * mean[i]!) / (Math.sqrt(second * square[i]!) + 1e-8)
    }
  }
}

/** Logits become what the loss falls by: (softmax − wanted shares) / rows. */
function subtractWanted(logits: Float32Array, labels: readonly number[], count: number): void {
  const { smoothing } = settings
  labels.forEach((label, n) => {
    const row = logits.subarray(n * count, (n + 1) * count)
    let most = -Infinity
    for (const value of row) most = Math.max(most, value)
    let sum = 0
    for (let c = 0; c < count; c++) sum += row[c] = Math.exp(row[c]! - most)
    for (let c = 0; c < count; c++) {
      const wanted = smoothing / count + (c === label ? 1 - smoothing : 0)
      row[c] = (row[c]! / sum - wanted) / labels.length
    }
  })
}

const multiplyFast = (target: Matrix, left: Matrix, right: Matrix): void =>
  multiply(target, left, right, { kernel: getFastKernels().f32 })

/** Over points [N][K] with a class 0…C−1 each; it starts at zero. */
export function fitSoftmax(
  points: readonly Float32Array[],
  classes: readonly number[],
  count: number,
): SoftmaxWeights {
  const { batch, learningRate, decay } = settings
  const perEpoch = Math.ceil(points.length / batch)
  const epochs = Math.max(settings.epochs, Math.ceil(settings.leastSteps / perEpoch))
  const width = points[0]!.length
  const weights = new Float32Array(count * width)
  const bias = new Float32Array(count)
  const updates = [createAdam(weights), createAdam(bias)] as const
  const draw = random(0)
  const total = epochs * perEpoch
  const slope = createMatrix(count, width, new Float32Array(count * width))
  let step = 0
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = draw.shuffle([...points.keys()])
    for (let at = 0; at < order.length; at += batch) {
      const rows = order.slice(at, at + batch)
      const x = createMatrix(rows.length, width, new Float32Array(rows.length * width))
      rows.forEach((i, n) => x.data.set(points[i]!, n * width))
      const logits = createMatrix(rows.length, count, new Float32Array(rows.length * count))
      multiplyFast(logits, x, transpose(createMatrix(count, width, weights)))
      for (let n = 0; n < rows.length; n++)
        for (let c = 0; c < count; c++) logits.data[n * count + c]! += bias[c]!
      const labels = rows.map((i) => classes[i]!)
      subtractWanted(logits.data, labels, count)
      multiplyFast(slope, transpose(logits), x)
      const sums = new Float32Array(count)
      for (let i = 0; i < logits.data.length; i++) sums[i % count]! += logits.data[i]!
      const rate = (learningRate / 2) * (1 + Math.cos((Math.PI * step++) / total))
      updates[0](slope.data, rate, step, decay)
      updates[1](sums, rate, step, 0)
    }
  }
  return { weights, bias }
}
