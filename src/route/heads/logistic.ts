// The logistic head: multinomial logistic regression over all numbers of a prompt's vector. The
// linear head measures distances to examples; this one learns what separates overlapping classes;
// its weights are kept in 8 bits.

import { FormatError } from '../../base/errors.ts'
import { number } from '../../base/schema.ts'
import { readNumbers, writeBytes, writeNumbers } from '../features/number-array.ts'
import { fitSoftmax } from './fit-softmax.ts'
import { computeDot, type HeadKind, type HeadTraining, type VectorHead } from './vector-head.ts'

interface LogisticState {
  readonly mean: Float32Array // [D]
  /** [C, D] */
  readonly weights: Float32Array
  readonly bias: Float32Array // [C]
  /** A class's weights over its mean, on the whole: what a further class gets. */
  readonly scale: number
  /** What is left of the bias then, likewise. */
  readonly offset: number
}

/**
 * Root mean square of vectors around their mean in the regression, so that one learning rate and
 * one decay fit any embedder.
 */
const usualLength = 5

const subtract = (vector: Float32Array, mean: Float32Array): Float32Array =>
  vector.map((value, i) => value - mean[i]!)

function computeMean(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]!.length)
  for (const vector of vectors) vector.forEach((value, i) => (mean[i]! += value / vectors.length))
  return mean
}

function createLogistic(state: LogisticState): VectorHead {
  const { mean, weights, bias, scale, offset } = state
  const width = mean.length
  const score = (vector: Float32Array): Float64Array => {
    const centred = subtract(vector, mean)
    return Float64Array.from(bias, (own, c) => own + computeDot(centred, weights, c * width))
  }
  return {
    logits: score,
    place(vector) {
      const scores = score(vector)
      const middle = scores.reduce((sum, value) => sum + value, 0) / scores.length
      return Float32Array.from(scores, (value) => value - middle)
    },
    withClass(vectors) {
      const own = subtract(computeMean(vectors), mean)
      const more = new Float32Array(weights.length + width)
      more.set(weights)
      more.set(
        own.map((value) => scale * value),
        weights.length,
      )
      const added = offset - (scale / 2) * computeDot(own, own)
      return createLogistic({
        mean,
        weights: more,
        bias: Float32Array.from([...bias, added]),
        scale,
        offset,
      })
    },
    write: () => ({
      mean: writeNumbers(mean, [width]),
      weights: writeBytes(weights, [bias.length, width]),
      bias: writeNumbers(bias, [bias.length]),
      scale,
      offset,
    }),
  }
}

/** How the weights and the bias of a class follow from its mean, on the whole. */
function fitRule(
  { vectors, classes, count }: HeadTraining,
  { mean, weights, bias }: Pick<LogisticState, 'mean' | 'weights' | 'bias'>,
): { scale: number; offset: number } {
  const width = mean.length
  const means = new Float32Array(count * width)
  const sizes = new Array<number>(count).fill(0)
  for (const c of classes) sizes[c]!++
  vectors.forEach((vector, n) => {
    const c = classes[n]!
    const at = c * width
    for (let i = 0; i < width; i++) means[at + i]! += (vector[i]! - mean[i]!) / sizes[c]!
  })
  const square = computeDot(means, means)
  const scale = square > 0 ? computeDot(means, weights) / square : 1
  let offset = 0
  for (let c = 0; c < count; c++) {
    const own = means.subarray(c * width, (c + 1) * width)
    offset += (bias[c]! + (scale / 2) * computeDot(own, own)) / count
  }
  return { scale, offset }
}

const finite = number()

function readLogistic(
  state: Readonly<Record<string, unknown>>,
  count: number,
  width: number,
): VectorHead {
  const mean = readNumbers(state['mean'], 1, 'state.head.mean')
  const weights = readNumbers(state['weights'], 2, 'state.head.weights')
  const bias = readNumbers(state['bias'], 1, 'state.head.bias')
  const { scale, offset } = state
  const problems = [
    ...finite.findProblems(scale, 'state.head.scale'),
    ...finite.findProblems(offset, 'state.head.offset'),
  ]
  if (problems.length > 0) throw new FormatError(`${problems.join('; ')}.`)
  if (
    mean.shape[0] !== width ||
    weights.shape[0] !== count ||
    weights.shape[1] !== width ||
    bias.shape[0] !== count
  )
    throw new FormatError(
      `state.head: got mean [${mean.shape.join(', ')}], weights [${weights.shape.join(', ')}] and bias [${bias.shape.join(', ')}], expected [${width}], [${count}, ${width}] and [${count}].`,
    )
  return createLogistic({
    mean: mean.data,
    weights: weights.data,
    bias: bias.data,
    scale: scale as number,
    offset: offset as number,
  })
}

/** The first part as it is, the later ones so much shorter. */
const laterShare = 0.6

/** What each number is multiplied by before the regression: parts have one length on the whole. */
function computeFactors({ vectors, parts }: HeadTraining, mean: Float32Array): Float32Array {
  const factors = new Float32Array(mean.length)
  let at = 0
  for (const [i, width] of (parts ?? [mean.length]).entries()) {
    let square = 0
    for (const vector of vectors)
      for (let k = at; k < at + width; k++) square += (vector[k]! - mean[k]!) ** 2 / vectors.length
    const length = usualLength * (i === 0 ? 1 : laterShare)
    factors.fill(square > 0 ? length / Math.sqrt(square) : 0, at, at + width)
    at += width
  }
  return factors
}

export const logistic: HeadKind = {
  kind: 'logistic',
  about: 'logistic regression over the whole vector; for some fifty examples of an expert and more',
  fit(training) {
    const { vectors, classes, count } = training
    const mean = computeMean(vectors)
    const width = mean.length
    const factors = computeFactors(training, mean)
    const points = vectors.map((vector) =>
      vector.map((value, i) => (value - mean[i]!) * factors[i]!),
    )
    const { weights, bias } = fitSoftmax(points, classes, count)
    const scaled = weights.map((value, i) => value * factors[i % width]!)
    const rule = fitRule(training, { mean, weights: scaled, bias })
    const head = createLogistic(Object.assign({ mean, weights: scaled, bias }, rule))
    // what is calibrated is what the file will hold
    return readLogistic(head.write(), count, width)
  },
  read: readLogistic,
}
