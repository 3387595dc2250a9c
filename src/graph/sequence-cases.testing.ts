// Cases of the operations that bring earlier tokens in without attention.

import { f32, i64, type Tensor } from '../base/tensor.ts'
import type { Dim } from './ir.ts'
import {
  type CaseInput,
  exactly,
  fixed,
  integersBelow,
  numbers,
  type OperationCase,
  positive,
} from './operation.contract.ts'
import { normal } from './testing.ts'

/** Positions of one sequence of three tokens, and of two packed ones. */
const restarting: CaseInput = {
  shape: ['N', 'T'],
  constant: true,
  values: () => i64([2, 3], [0, 1, 2, 0, 0, 1]),
}

/** Positions of packed sequences of these lengths. */
const packedPositions = (lengths: readonly number[]): Tensor => {
  const places = lengths.flatMap((length) => Array.from({ length }, (_, i) => i))
  return i64([1, places.length], places)
}

/** Numbers below 0. */
const falling = (...shape: Dim[]): CaseInput => ({
  shape,
  values: (source, bound) => {
    const tensor = normal(source, bound)
    return { ...tensor, data: tensor.data.map((value) => -Math.abs(value)) }
  },
})

/** Numbers that fall along the last axis, as sums of decays do. */
const descending = (...shape: Dim[]): CaseInput => ({
  shape,
  values: (source, bound) => {
    const tensor = normal(source, bound)
    const length = bound.at(-1)!
    tensor.data.forEach((value, i) => {
      const before = i % length === 0 ? 0 : tensor.data[i - 1]!
      tensor.data[i] = before - Math.abs(value)
    })
    return tensor
  },
})

/** A second sequence begins at the third token. */
const starts = f32([1, 1, 1, 4], [0, 0, 1, 1])

/** Queries and keys of 6 numbers, values of two for each head, decays and betas. */
const deltaInputs = (rows: Dim, tokens: Dim, heads: number): CaseInput[] => [
  ...[numbers(rows, tokens, 6), numbers(rows, tokens, 6), numbers(rows, tokens, 2 * heads)],
  ...[falling(rows, tokens, heads), positive(rows, tokens, heads)],
]

export const sequenceCases: Readonly<Record<string, readonly OperationCase[]>> = {
  causalConvolution: [
    { inputs: [numbers('N', 'T', 4), numbers(4, 1, 3), restarting] },
    { title: 'of one token', inputs: [numbers('N', 'T', 4), numbers(4, 1, 1), restarting] },
  ],
  cachedConvolution: [
    { inputs: [fixed('N', 'T', 4), fixed('N', 2, 4), fixed(4, 1, 3)] },
    { title: 'one new token', inputs: [fixed('N', 1, 4), fixed('N', 2, 4), fixed(4, 1, 3)] },
  ],
  positionGrowth: [
    { inputs: [integersBelow(40, 'N', 'T')], attributes: { beta: 0.1, original: 8 } },
  ],
  gatedDelta: [
    {
      inputs: [...deltaInputs('N', 'T', 4), restarting],
      attributes: { heads: 4, keyHeads: 2, keyWidth: 3, valueWidth: 2 },
    },
    {
      title: 'several chunks, sequences that begin in them',
      inputs: [...deltaInputs(1, 37, 2), exactly(packedPositions([5, 15, 17]))],
      attributes: { heads: 2, keyHeads: 2, keyWidth: 3, valueWidth: 2 },
    },
  ],
  splitChunks: [{ inputs: [numbers('N', 2, 'P', 3)], attributes: { length: 4 } }],
  joinChunks: [{ inputs: [numbers('N', 2, 'P/4', 4, 3), fixed('N', 2, 'P', 1)] }],
  countStarts: [{ inputs: [restarting], attributes: { length: 2 } }],
  cumulativeSum: [
    { inputs: [numbers('N', 'T', 4)], attributes: { reverse: false } },
    { title: 'reversed', inputs: [numbers('N', 'T', 4)], attributes: { reverse: true } },
  ],
  takeLast: [{ inputs: [fixed('N', 2, 'T', 3, 2)] }],
  pairDecay: [
    { inputs: [descending('N', 2, 'T', 4)] },
    { title: 'of packed sequences', inputs: [descending(1, 2, 1, 4), exactly(starts)] },
  ],
  startDecay: [
    { inputs: [falling('N', 2, 'T', 4)] },
    { title: 'of packed sequences', inputs: [falling(1, 2, 1, 4), exactly(starts)] },
  ],
  lowerPart: [
    { inputs: [numbers('N', 4, 4)], attributes: { diagonal: true } },
    { title: 'below the diagonal', inputs: [numbers('N', 4, 4)], attributes: { diagonal: false } },
  ],
  invertUnitLower: [{ inputs: [numbers('N', 'T', 8, 8)] }],
  stateScan: [
    {
      inputs: [numbers('N', 2, 'T', 3, 3), numbers('N', 2, 'T', 3, 4), numbers('N', 2, 'T', 1, 1)],
      attributes: { reverse: false },
    },
    {
      title: 'from a state, backwards',
      inputs: [
        ...[fixed('N', 2, 'T', 3, 3), fixed('N', 2, 'T', 3, 4), fixed('N', 2, 'T', 1, 1)],
        fixed('N', 2, 3, 4),
      ],
      attributes: { reverse: true },
    },
  ],
  shiftTokens: [
    { inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 1 } },
    { title: 'by all', inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 4 } },
  ],
  unshiftTokens: [{ inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 1 } }],
}
