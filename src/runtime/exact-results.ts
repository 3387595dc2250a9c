// Results over whole sequences by the exact path: logits, loss, pooled embeddings. Generates no
// text.

import type { StatePooling } from '../adapters/serving/pooling.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import {
  type AdapterChoice,
  type Grouping,
  runInGroups,
  selectExperts,
} from './programs/row-groups.ts'
import type { Forward, TokenPositions } from './programs/forward.ts'
import { computeCrossEntropy, poolRows, listScoredLabels } from './scoring.ts'

type Rows = readonly (readonly number[])[]

export interface ExactResults {
  logits(ids: Rows, choice?: AdapterChoice): Promise<F32Tensor>
  loss(ids: Rows, labels: Rows, choice?: AdapterChoice): Promise<number>
  /** Each row's last hidden states, pooled and scaled to length 1: [N, D]. */
  pool(ids: Rows, poolings: readonly StatePooling[], choice?: AdapterChoice): Promise<F32Tensor>
}

/** The positions whose states are averaged. */
const listPooled = (pooling: StatePooling, length: number): number[] =>
  pooling === 'mean'
    ? Array.from({ length }, (_, position) => position)
    : [pooling === 'last' ? length - 1 : 0]

export function createExactResults(
  { vocabularySize, width }: ModelConfig,
  forward: Forward,
  grouping: Grouping,
): ExactResults {
  const each = (
    ids: Rows,
    choice: AdapterChoice,
    want: 'logits' | 'hidden',
    at: TokenPositions = 'all',
  ) =>
    runInGroups(ids.length, choice, grouping, (rows, experts) => {
      const own: TokenPositions = typeof at === 'string' ? at : rows.map((row) => at[row]!)
      return forward(
        rows.map((row) => ids[row]!),
        forward.cache(rows.length),
        { served: selectExperts(rows, experts), want, at: own },
      )
    })
  return {
    async logits(ids, choice = {}) {
      const rows = await each(ids, choice, 'logits')
      const tokens = Math.max(...ids.map(({ length }) => length))
      const result = f32([ids.length, tokens, vocabularySize])
      rows.forEach((row, n) =>
        row.forEach((values, t) => result.data.set(values, (n * tokens + t) * vocabularySize)),
      )
      return result
    },
    async loss(ids, labels, choice = {}) {
      const scored = listScoredLabels(ids, labels)
      const byRow = ids.map((_, n) => scored.filter(({ row }) => row === n))
      const places = byRow.map((row) => row.map(({ position }) => position))
      const rows = await each(ids, choice, 'logits', places)
      const losses = byRow.flatMap((row, n) =>
        row.map(({ label }, i) => computeCrossEntropy(rows[n]![i]!, label)),
      )
      return losses.reduce((sum, loss) => sum + loss, 0) / scored.length
    },
    async pool(ids, poolings, choice = {}) {
      const result = f32([ids.length, width])
      const places = ids.map((row, n) => listPooled(poolings[n]!, row.length))
      const rows = await each(ids, choice, 'hidden', places)
      rows.forEach((row, n) => result.data.set(poolRows(row, width), n * width))
      return result
    },
  }
}
