// The weights of a policy by name, and their start: FastGRNN's two low-rank matrices and vectors,
// the table of word vectors, and a linear head for each question that is answered.

import type { Random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'

/** Letters: D width of word vectors, H of the state, R ranks, C experts, K tiers, V buckets. */
export interface PolicyShape {
  readonly buckets: number // V
  readonly width: number // D
  readonly hidden: number // H
  readonly inputRank: number
  readonly stateRank: number
  readonly experts: number // C
  /** 0: no head for tiers. */
  readonly tiers: number // K
  /** What the heads read: the last state, as in the paper, or the mean of all states. */
  readonly reads: 'last' | 'mean'
}

export type PolicyWeights = ReadonlyMap<string, F32Tensor>

export const headNames = ['expert', 'tier', 'confidence'] as const
export type HeadName = (typeof headNames)[number]

/** Answers of each head; a head without any is left out. */
export function listHeads({ experts, tiers }: PolicyShape): readonly [HeadName, number][] {
  const sizes: [HeadName, number][] = [
    ['expert', experts],
    ['tier', tiers],
    ['confidence', 1],
  ]
  return sizes.filter(([, size]) => size > 0)
}

/** Shapes by name. W = W1·W2 [H, D] and U = U1·U2 [H, H] are kept as their factors. */
export function listWeightShapes(shape: PolicyShape): ReadonlyMap<string, readonly number[]> {
  const { buckets, width, hidden, inputRank, stateRank } = shape
  return new Map<string, readonly number[]>([
    ['table', [buckets, width]],
    ['W2', [inputRank, width]],
    ['W1', [hidden, inputRank]],
    ['U2', [stateRank, hidden]],
    ['U1', [hidden, stateRank]],
    ['gateBias', [hidden]],
    ['stateBias', [hidden]],
    ['zeta', [1]],
    ['nu', [1]],
    ...listHeads(shape).flatMap(([name, size]): [string, readonly number[]][] => [
      [`${name}.weight`, [size, hidden]],
      [`${name}.bias`, [size]],
    ]),
  ])
}

const constants: Readonly<Record<string, number>> = { gateBias: 1, zeta: 1, nu: -4 }
/** Wide, so that words of no training prompt differ too: feedback can learn them. */
const tableSpread = 0.5

/**
 * Start: normal numbers that keep the length of what goes through a matrix, biases 0, the gate's 1;
 * ζ = 1 and ν = −4 as published.
 */
export function initializePolicy(shape: PolicyShape, random: Random): Map<string, F32Tensor> {
  const weights = new Map<string, F32Tensor>()
  for (const [name, dims] of listWeightShapes(shape)) {
    const spread =
      dims.length < 2
        ? 0
        : name === 'table'
          ? tableSpread
          : (name[0] === 'U' ? 0.7 : 1) / Math.sqrt(dims[1]!)
    const tensor = f32(dims)
    for (let i = 0; i < tensor.data.length; i++)
      tensor.data[i] = constants[name] ?? (spread === 0 ? 0 : spread * random.normal())
    weights.set(name, tensor)
  }
  return weights
}

/** The index of the largest number. */
export function findLargest(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}
