// Serving tensors of several experts, one for each row of a batch, as one set of tensors. Ranks are
// padded with zeros to the largest, which changes nothing. Independent of the graph.

import { f32, type F32Tensor } from '../../base/tensor.ts'

/**
 * ONNX Runtime 1.30 leaves all but the first product of a batch unset where the inner dimension is
 * 0; with one matrix it gives zeros.
 */
const LEAST_RANK = 1

type ServingTensors = ReadonlyMap<string, F32Tensor>

/**
 * By name of one model's slots: <module>.A [R, in] → [N, R, in], .B [out, R] → [N, out, R], vectors
 * [D] → [N, 1, D].
 */
export function stackRows(rows: readonly ServingTensors[]): Map<string, F32Tensor> {
  const result = new Map<string, F32Tensor>()
  for (const name of rows[0]!.keys()) {
    const tensors = rows.map((row) => row.get(name)!)
    result.set(name, stackTensors(name, tensors))
  }
  return result
}

function stackTensors(name: string, tensors: readonly F32Tensor[]): F32Tensor {
  const [first] = tensors as [F32Tensor, ...F32Tensor[]]
  if (name.endsWith('.A')) return padBelow(tensors, first.shape[1]!)
  if (name.endsWith('.B')) return padRight(tensors, first.shape[0]!)
  const length = first.shape[0]!
  const result = f32([tensors.length, 1, length])
  tensors.forEach(({ data }, n) => result.data.set(data, n * length))
  return result
}

/** Zeros below each A. */
function padBelow(tensors: readonly F32Tensor[], inFeatures: number): F32Tensor {
  const rank = Math.max(LEAST_RANK, ...tensors.map(({ shape }) => shape[0]!))
  const result = f32([tensors.length, rank, inFeatures])
  tensors.forEach(({ data }, n) => result.data.set(data, n * rank * inFeatures))
  return result
}

/** Zeros to the right of each B. */
function padRight(tensors: readonly F32Tensor[], outFeatures: number): F32Tensor {
  const rank = Math.max(LEAST_RANK, ...tensors.map(({ shape }) => shape[1]!))
  const result = f32([tensors.length, outFeatures, rank])
  tensors.forEach(({ data, shape: [, own] }, n) => {
    const start = n * outFeatures * rank
    if (own === rank) return result.data.set(data, start)
    for (let o = 0; o < outFeatures; o++)
      result.data.set(data.subarray(o * own!, (o + 1) * own!), start + o * rank)
  })
  return result
}
