// The top-k tokens of predictions, and one bucket for all the rest. Plain arithmetic on arrays.

import { f32, i64, type Tensor } from '../../base/tensor.ts'

/** Numbers of the `count` largest values, in no order. */
function selectLargest(values: Float32Array, count: number): Int32Array {
  const found = Int32Array.from({ length: count }, (_, i) => i)
  const least = (): number => {
    let at = 0
    for (let i = 1; i < count; i++) if (values[found[i]!]! < values[found[at]!]!) at = i
    return at
  }
  let worst = least()
  let bar = values[found[worst]!]!
  for (let v = count, size = values.length; v < size; v++) {
    if (values[v]! <= bar) continue // nearly always true: one comparison per token
    found[worst] = v
    worst = least()
    bar = values[found[worst]!]!
  }
  return found
}

const computeEntropyTerm = (share: number): number => (share > 0 ? share * Math.log(share) : 0)

/**
 * Of shares [M, V]: `ids` i64 [M, K] and `shares` f32 [M, K] of the K largest, and `entropy` [M], Σ
 * p·log p with the rest as one of the p.
 */
export function selectLargestShares({ data, shape }: Tensor, count: number): Map<string, Tensor> {
  const [rows, width] = shape as [number, number]
  const ids = new Int32Array(rows * count)
  const shares = f32([rows, count])
  const entropy = f32([rows])
  for (let m = 0; m < rows; m++) {
    const all = (data as Float32Array).subarray(m * width, (m + 1) * width)
    const top = selectLargest(all, count)
    let rest = 1
    ids.set(top, m * count)
    top.forEach((id, k) => {
      // rounding must not make the rest negative
      const share = Math.min(all[id]!, Math.max(0, rest))
      shares.data[m * count + k] = share
      entropy.data[m]! += computeEntropyTerm(share)
      rest -= share
    })
    entropy.data[m]! += computeEntropyTerm(rest)
  }
  return new Map<string, Tensor>([
    ['ids', i64([rows, count], ids)],
    ['shares', shares],
    ['entropy', entropy],
  ])
}
