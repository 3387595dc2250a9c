// The nearest-neighbour head: an expert's score is the cosine of its example that is nearest. Keeps
// every example, so it is for small sets and as a baseline.

import { FormatError } from '../../base/errors.ts'
import {
  readIntegers,
  readNumbers,
  writeBytes,
  writeIntegers,
  writeNumbers,
} from '../features/number-array.ts'
import { computeDot, type HeadKind, toUnitVector, type VectorHead } from './vector-head.ts'

/** As for centroids. */
const scale = 20

interface Neighbours {
  readonly mean: Float32Array // [D]
  /** [N, D], each of length 1. */
  readonly rows: Float32Array
  readonly classes: Int32Array // [N]
  readonly count: number
}

const subtractMean = (vector: Float32Array, mean: Float32Array): Float32Array =>
  toUnitVector(vector.map((value, i) => value - mean[i]!))

function createNearest(state: Neighbours): VectorHead {
  const { mean, rows, classes, count } = state
  const width = mean.length
  return {
    logits: (vector) => {
      const unit = subtractMean(vector, mean)
      const best = new Float64Array(count).fill(-Infinity)
      for (let n = 0; n < classes.length; n++) {
        const score = scale * computeDot(unit, rows, n * width)
        if (score > best[classes[n]!]!) best[classes[n]!] = score
      }
      return best
    },
    place: (vector) => subtractMean(vector, mean),
    withClass: (vectors) => {
      const more = new Float32Array(rows.length + vectors.length * width)
      more.set(rows)
      vectors.forEach((vector, n) => more.set(subtractMean(vector, mean), rows.length + n * width))
      const all = Int32Array.from([...classes, ...vectors.map(() => count)])
      return createNearest({ mean, rows: more, classes: all, count: count + 1 })
    },
    write: () => writeNeighbours(state),
  }
}

const writeNeighbours = ({ mean, rows, classes }: Neighbours) => ({
  mean: writeNumbers(mean, [mean.length], 'f16'),
  rows: writeBytes(rows, [classes.length, mean.length]),
  classes: writeIntegers(classes),
})

function readNeighbours(
  state: Readonly<Record<string, unknown>>,
  count: number,
  width: number,
): Neighbours {
  const mean = readNumbers(state['mean'], 1, 'state.head.mean')
  const rows = readNumbers(state['rows'], 2, 'state.head.rows')
  const classes = readIntegers(state['classes'], 'state.head.classes')
  const isRight =
    mean.shape[0] === width &&
    rows.shape[1] === width &&
    rows.shape[0] === classes.length &&
    classes.every((c) => c >= 0 && c < count)
  if (!isRight)
    throw new FormatError(
      `state.head: got a mean [${mean.shape.join(', ')}], rows [${rows.shape.join(', ')}] and ${classes.length} classes for ${count} experts and vectors of ${width} numbers.`,
    )
  return { mean: mean.data, rows: rows.data, classes, count }
}

export const nearest: HeadKind = {
  kind: 'nearest',
  about: 'the nearest example; keeps all of them',
  fit({ vectors, classes, count }) {
    const width = vectors[0]!.length
    const mean = new Float32Array(width)
    for (const vector of vectors)
      for (let i = 0; i < width; i++) mean[i]! += vector[i]! / vectors.length
    const rows = new Float32Array(vectors.length * width)
    vectors.forEach((vector, n) => rows.set(subtractMean(vector, mean), n * width))
    const state = { mean, rows, classes: Int32Array.from(classes), count }
    return createNearest(readNeighbours(writeNeighbours(state), count, width))
  },
  read: (state, count, width) => createNearest(readNeighbours(state, count, width)),
}
