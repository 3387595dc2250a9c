// The centroid head: the expert whose examples' mean has the largest cosine with the prompt's
// vector. Vectors are taken relative to the mean of all, because states of one model share a
// direction.

import { FormatError } from '../../base/errors.ts'
import { readNumbers, writeBytes, writeNumbers } from '../features/number-array.ts'
import { computeDot, type HeadKind, toUnitVector, type VectorHead } from './vector-head.ts'

/** Cosines are −1…1: so many times that is a score of which a softmax makes shares. */
const scale = 20

interface Centroids {
  readonly mean: Float32Array // [D]
  /** [C, D], each of length 1. */
  readonly rows: Float32Array
}

const subtractMean = (vector: Float32Array, mean: Float32Array): Float32Array =>
  toUnitVector(vector.map((value, i) => value - mean[i]!))

function computeMean(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]!.length)
  for (const vector of vectors)
    for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length
  return mean
}

function createCentroid({ mean, rows }: Centroids): VectorHead {
  const width = mean.length
  return {
    logits: (vector) => {
      const unit = subtractMean(vector, mean)
      return Float64Array.from(
        { length: rows.length / width },
        (_, c) => scale * computeDot(unit, rows, c * width),
      )
    },
    place: (vector) => subtractMean(vector, mean),
    withClass: (vectors) => {
      const own = toUnitVector(computeMean(vectors.map((vector) => subtractMean(vector, mean))))
      const more = new Float32Array(rows.length + width)
      more.set(rows)
      more.set(own, rows.length)
      return createCentroid({ mean, rows: more })
    },
    write: () => writeCentroids({ mean, rows }),
  }
}

const writeCentroids = ({ mean, rows }: Centroids) => ({
  mean: writeNumbers(mean, [mean.length], 'f16'),
  rows: writeBytes(rows, [rows.length / mean.length, mean.length]),
})

function readCentroids(
  state: Readonly<Record<string, unknown>>,
  count: number,
  width: number,
): Centroids {
  const mean = readNumbers(state['mean'], 1, 'state.head.mean')
  const rows = readNumbers(state['rows'], 2, 'state.head.rows')
  if (mean.shape[0] !== width || rows.shape[0] !== count || rows.shape[1] !== width)
    throw new FormatError(
      `state.head: got a mean [${mean.shape.join(', ')}] and rows [${rows.shape.join(', ')}] for ${count} experts and vectors of ${width} numbers.`,
    )
  return { mean: mean.data, rows: rows.data }
}

export const centroid: HeadKind = {
  kind: 'centroid',
  about: 'the nearest mean of examples; for a few examples of each expert and for many experts',
  fit({ vectors, classes, count }) {
    const width = vectors[0]!.length
    const byClass = Array.from({ length: count }, (): Float32Array[] => [])
    vectors.forEach((vector, n) => byClass[classes[n]!]!.push(vector))
    const means = byClass.map(computeMean)
    const mean = computeMean(means)
    const rows = new Float32Array(count * width)
    byClass.forEach((own, c) =>
      rows.set(
        toUnitVector(computeMean(own.map((vector) => subtractMean(vector, mean)))),
        c * width,
      ),
    )
    return createCentroid(readCentroids(writeCentroids({ mean, rows }), count, width))
  },
  read: (state, count, width) => createCentroid(readCentroids(state, count, width)),
}
