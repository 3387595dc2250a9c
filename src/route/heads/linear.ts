// The linear head: a discriminant over each part of the vector (the base's states, the hashed terms),
// their scores added with a weight each; directions are kept in 8 bits.

import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { readNumbers, writeBytes, writeNumbers } from '../features/number-array.ts'
import {
  addClass,
  type Discriminant,
  fitDiscriminant,
  projectVector,
  scoreClasses,
} from './discriminant.ts'
import type { HeadKind, VectorHead } from './vector-head.ts'

interface WeighedPart {
  readonly weight: number
  readonly head: Discriminant
}

/**
 * Scores of every part behind the first count a quarter: hashed terms alone are less often right, and
 * surer than they should be.
 */
const laterWeight = 0.25

/** The vector's parts, each as wide as its head reads. */
function cutVector(vector: Float32Array, parts: readonly WeighedPart[]): Float32Array[] {
  let at = 0
  return parts.map(({ head }) => {
    const from = at
    at += head.width
    return vector.subarray(from, at)
  })
}

function createLinear(parts: readonly WeighedPart[]): VectorHead {
  const project = (vector: Float32Array): Float32Array[] =>
    cutVector(vector, parts).map((own, i) => projectVector(parts[i]!.head, own))
  return {
    logits(vector) {
      const sums = new Float64Array(parts[0]!.head.means.length / parts[0]!.head.rank)
      project(vector).forEach((z, i) => {
        const { head, weight } = parts[i]!
        scoreClasses(head, z).forEach((score, c) => (sums[c]! += weight * score))
      })
      return sums
    },
    place(vector) {
      const places = project(vector).map((z, i) =>
        z.map((value) => value * Math.sqrt(parts[i]!.weight)),
      )
      const all = new Float32Array(places.reduce((sum, { length }) => sum + length, 0))
      let at = 0
      for (const place of places) {
        all.set(place, at)
        at += place.length
      }
      return all
    },
    withClass(vectors) {
      const cuts = vectors.map((vector) => cutVector(vector, parts))
      return createLinear(
        parts.map(({ head, weight }, i) => ({
          weight,
          head: addClass(
            head,
            cuts.map((own) => own[i]!),
          ),
        })),
      )
    },
    write: () => ({
      parts: parts.map(({ head, weight }) => Object.assign({ weight }, writeDiscriminant(head))),
    }),
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
  name: string,
): Discriminant {
  const directions = readNumbers(state['directions'], 2, `${name}.directions`)
  const shift = readNumbers(state['shift'], 1, `${name}.shift`)
  const means = readNumbers(state['means'], 2, `${name}.means`)
  const [rank, width] = directions.shape as [number, number]
  if (shift.shape[0] !== rank || means.shape[0] !== count || means.shape[1] !== rank)
    throw new FormatError(
      `${name}: got directions [${directions.shape.join(', ')}], shift [${shift.shape.join(', ')}] and means [${means.shape.join(', ')}] for ${count} experts.`,
    )
  return { width, rank, directions: directions.data, shift: shift.data, means: means.data }
}

function readParts(
  state: Readonly<Record<string, unknown>>,
  count: number,
  width: number,
): WeighedPart[] {
  const { parts } = state
  if (!Array.isArray(parts) || parts.length === 0)
    throw new FormatError(`state.head.parts: got ${describeValue(parts)}, expected a list.`)
  const read = parts.map((part: unknown, i): WeighedPart => {
    const weight = isRecord(part) ? part['weight'] : undefined
    if (!isRecord(part) || typeof weight !== 'number' || !(weight > 0))
      throw new FormatError(
        `state.head.parts[${i}].weight: got ${describeValue(weight)}, expected a number above 0.`,
      )
    return { weight, head: readDiscriminant(part, count, `state.head.parts[${i}]`) }
  })
  const total = read.reduce((sum, { head }) => sum + head.width, 0)
  if (total !== width)
    throw new FormatError(`state.head: reads ${total} numbers, and vectors have ${width}.`)
  return read
}

export const linear: HeadKind = {
  kind: 'linear',
  about:
    'a linear discriminant with a shrunken covariance; needs about ten examples of each expert',
  fit({ vectors, classes, count, shrinkage, parts: widths = [vectors[0]!.length] }) {
    let at = 0
    const parts = widths.map((width, i): WeighedPart => {
      const from = at
      at += width
      const own = vectors.map((vector) => vector.subarray(from, from + width))
      const head = fitDiscriminant(own, classes, count, { shrinkage })
      return { weight: i === 0 ? 1 : laterWeight, head }
    })
    // 8 bits change scores a little: what is calibrated is what the file will hold
    const state = createLinear(parts).write()
    return createLinear(readParts(state, count, at))
  },
  read: (state, count, width) => createLinear(readParts(state, count, width)),
}
