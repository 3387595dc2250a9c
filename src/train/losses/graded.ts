// Shared by losses over graded answers: the feeds that map each scored token to its answer.

import { f32, type Tensor } from '../../base/tensor.ts'
import type { LossBatch } from './loss.ts'

/** A number for each scored token, [M], from its row's grade. */
export function computeTokenValues(
  { labelCounts, grades }: LossBatch,
  read: (grade: LossBatch['grades'][number]) => number,
): Tensor {
  const values = labelCounts.flatMap((count, row) => Array<number>(count).fill(read(grades[row]!)))
  return f32([values.length], values)
}
