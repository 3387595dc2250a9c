// A batch of a standalone run: input vectors, target vectors, and the weight of each row.

export interface VectorBatch {
  readonly rows: number // N
  readonly width: number // D
  readonly inputs: Float32Array // [N, D]
  readonly targets: Float32Array // [N, D]
  /** Weights of the rows in the summed loss; over all batches of a step they add up to 1. [N] */
  readonly weights: Float32Array
}

/** Rows of these numbers, copied out of whole columns; weights are the rows' own times `scale`. */
export function gatherRows(
  from: {
    readonly width: number
    readonly inputs: Float32Array
    readonly targets: Float32Array
    readonly quality: Float32Array
  },
  rows: readonly number[],
  scale: number,
): VectorBatch {
  const { width } = from
  const inputs = new Float32Array(rows.length * width)
  const targets = new Float32Array(rows.length * width)
  const weights = new Float32Array(rows.length)
  rows.forEach((row, n) => {
    inputs.set(from.inputs.subarray(row * width, (row + 1) * width), n * width)
    targets.set(from.targets.subarray(row * width, (row + 1) * width), n * width)
    weights[n] = from.quality[row]! * scale
  })
  return { rows: rows.length, width, inputs, targets, weights }
}
