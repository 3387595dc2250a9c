// The linear head: a discriminant whose directions are kept in 8 bits.

import { FormatError } from '../../base/errors.ts'
import { readNumbers, writeBytes, writeNumbers } from '../features/number-array.ts'
import {
  addClass,
  type Discriminant,
  fitDiscriminant,
  projectVector,
  scoreClasses,
} from './discriminant.ts'
import type { HeadKind, VectorHead } from './vector-head.ts'

function createLinear(head: Discriminant): VectorHead {
  return {
    logits: (vector) => scoreClasses(head, projectVector(head, vector)),
    place: (vector) => projectVector(head, vector),
    withClass: (vectors) => createLinear(addClass(head, vectors)),
    write: () => writeDiscriminant(head),
  }
}

function writeDiscriminant({ directions, shift, means, rank, width }: Discriminant) {
  return {
    directions: writeBytes(directions, [rank, width]),
    shift: writeNumbers(shift, [rank]),
    means: writeNumbers(means, [means.length / rank, rank], 'f16'),
  }
}

function readDiscriminant(
  state: Readonly<Record<string, unknown>>,
  count: number,
  width: number,
): Discriminant {
  const directions = readNumbers(state['directions'], 2, 'state.head.directions')
  const shift = readNumbers(state['shift'], 1, 'state.head.shift')
  const means = readNumbers(state['means'], 2, 'state.head.means')
  const rank = shift.shape[0]!
  const isRight =
    directions.shape[0] === rank &&
    directions.shape[1] === width &&
    means.shape[0] === count &&
    means.shape[1] === rank
  if (!isRight)
    throw new FormatError(
      `state.head: got directions [${directions.shape.join(', ')}], shift [${rank}] and means [${means.shape.join(', ')}] for ${count} experts and vectors of ${width} numbers.`,
    )
  return { width, rank, directions: directions.data, shift: shift.data, means: means.data }
}

/** 8 bits change scores a little: what is calibrated is what the file will hold. */
const roundDiscriminant = (head: Discriminant, count: number): Discriminant =>
  readDiscriminant(writeDiscriminant(head), count, head.width)

export const linear: HeadKind = {
  kind: 'linear',
  about:
    'a linear discriminant with a shrunken covariance; needs about ten examples of each expert',
  fit: ({ vectors, classes, count, shrinkage }) =>
    createLinear(roundDiscriminant(fitDiscriminant(vectors, classes, count, { shrinkage }), count)),
  read: (state, count, width) => createLinear(readDiscriminant(state, count, width)),
}
