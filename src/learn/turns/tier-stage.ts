// The learner's logits stage: many users' answers in one batch, each under that user's tiers. The
// product with the head is one for all of them. Independent of users' state and of learning.

import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head, LogitsStage } from '../../runtime/index.ts'
import { rowOf } from '../tiers/head-gradient.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import type { Observation } from '../tiers/training-example.ts'
import { joinRows } from './turn-states.ts'

/** What serving computed at one position. */
export interface ServedState {
  readonly hidden: Float32Array
  /** The memory's key of the position. */
  readonly key: Float32Array | undefined
  readonly observation: Observation
}

/** One answer: the tiers that it is given under, and what serving has computed so far. */
export interface ServedAnswer {
  readonly tiers: TierStack
  readonly states: ServedState[]
}

/** A stage for all users of a learner. `layer`: whose input states are the memory's keys. */
export function createTierStage(head: Head, layer: number | undefined): LogitsStage<ServedAnswer> {
  return {
    tapLayer: layer,
    async run(answers, hidden, taps) {
      const rows = splitRows(hidden)
      const keys = taps && splitRows(taps)
      const changed = rows.map((row, i) => answers[i]!.tiers.adjust(row))
      const logits = await head.logits(f32(hidden.shape, joinRows(changed, head.width)))
      splitRows(logits).forEach((row, i) => {
        const { tiers, states } = answers[i]!
        const key = keys?.[i]
        const prediction = tiers.complete(row, key ?? rows[i]!)
        if (prediction.logits !== row) row.set(prediction.logits)
        states.push({ hidden: rows[i]!, key, observation: prediction.observation })
      })
      return logits
    },
    dropRows({ states }, rows) {
      states.length -= rows
    },
  }
}

/** The rows of [M, D], as views. */
const splitRows = (matrix: F32Tensor): Float32Array[] =>
  Array.from({ length: matrix.shape[0]! }, (_, row) => rowOf(matrix, row))
