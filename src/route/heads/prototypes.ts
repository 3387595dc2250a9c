// The prototype head: a few points for each expert, found among its examples (k-means), and the
// expert of the nearest point. Keeps little of each expert, so it is for a thousand of them.

import { nearest } from './nearest.ts'
import { computeDot, type HeadKind, type HeadTraining, toUnitVector } from './vector-head.ts'

const rounds = 4

function averageVectors(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]!.length)
  for (const vector of vectors)
    for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / vectors.length
  return mean
}

function findNearest(vector: Float32Array, centres: readonly Float32Array[]): number {
  let best = 0
  centres.forEach((centre, i) => {
    if (computeDot(vector, centre) > computeDot(vector, centres[best]!)) best = i
  })
  return best
}

/** The vector that is least like any of the centres. */
const findFarthest = (
  vectors: readonly Float32Array[],
  centres: readonly Float32Array[],
): Float32Array =>
  vectors.toSorted(
    (a, b) =>
      computeDot(a, centres[findNearest(a, centres)]!) -
      computeDot(b, centres[findNearest(b, centres)]!),
  )[0]!

/** Up to `most` centres of vectors of one expert, by k-means on their directions. */
export function groupVectors(given: readonly Float32Array[], most: number): Float32Array[] {
  const vectors = given.map(toUnitVector)
  let centres = [toUnitVector(averageVectors(vectors))]
  while (centres.length < Math.min(most, vectors.length))
    centres.push(findFarthest(vectors, centres))
  for (let round = 0; round < rounds && centres.length > 1; round++) {
    const groups = centres.map((): Float32Array[] => [])
    for (const vector of vectors) groups[findNearest(vector, centres)]!.push(vector)
    centres = groups
      .filter((group) => group.length > 0)
      .map((group) => toUnitVector(averageVectors(group)))
  }
  return centres
}

/** A head of at most so many points for each expert; it is read as the nearest-neighbour head. */
export function fitPrototypes({ vectors, classes, count, shrinkage }: HeadTraining, each: number) {
  const byClass = Array.from({ length: count }, (): Float32Array[] => [])
  vectors.forEach((vector, n) => byClass[classes[n]!]!.push(vector))
  const points = byClass.map((own) => groupVectors(own, each))
  return nearest.fit({
    vectors: points.flat(),
    classes: points.flatMap((own, c) => own.map(() => c)),
    count,
    shrinkage,
  })
}

/** The default number of points of each expert. */
const usualPoints = 3

export const prototypes: HeadKind = {
  kind: 'prototypes',
  about: 'a few points for each expert, found among its examples; for many experts',
  fit: (training) => fitPrototypes(training, usualPoints),
  read: nearest.read,
}
