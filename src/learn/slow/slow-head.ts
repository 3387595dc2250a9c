// The slow tier's part at the head: what fast tiers learned there, summed exactly and truncated to a
// lower rank. A wrapper around the head, so that neither fast tier nor head depends on it.
// Independent of users.

import { truncateProduct } from '../../base/linalg/low-rank.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { type Matrix, createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head } from '../../runtime/index.ts'
import type { HeadLoss } from '../tiers/head-gradient.ts'

/** h ← h + B·(A·h) of the head's input. */
export interface HeadChange {
  readonly A: F32Tensor // [R, D]
  readonly B: F32Tensor // [D, R]
}

/** A head whose change can be replaced at any time, and its loss. */
export interface SlowHead {
  change: HeadChange | undefined
  readonly head: Head
  readonly headLoss: HeadLoss
}

const toMatrix = ({ shape, data }: F32Tensor): Matrix<Float32Array> =>
  createMatrix(shape[0]!, shape[1]!, data)

/** x + x·left·right for rows x [M, D], left [D, R], right [R, D]; a new array. */
function applyLowRank(
  values: Float32Array,
  left: Matrix<Float32Array>,
  right: Matrix<Float32Array>,
): Float32Array {
  const result = values.slice()
  const x = createMatrix(values.length / left.rows, left.rows, values)
  const low = createMatrix(x.rows, left.columns, new Float32Array(x.rows * left.columns))
  const kernel = getFastKernels().f32
  multiply(low, x, left, { kernel })
  multiply(createMatrix(x.rows, x.columns, result), low, right, { add: true, kernel })
  return result
}

const applyChange = ({ A, B }: HeadChange, hidden: Float32Array): Float32Array =>
  applyLowRank(hidden, transpose(toMatrix(A)), transpose(toMatrix(B)))
const applyTransposedChange = ({ A, B }: HeadChange, gradient: Float32Array): Float32Array =>
  applyLowRank(gradient, toMatrix(B), toMatrix(A))

/**
 * The head behind a change S = B·A: logits W·(I + S)·h, gradients (I + S)ᵀ·g, rows W·(I + S).
 * Without a change it is the head itself.
 */
export function createSlowHead(head: Head, headLoss: HeadLoss, change?: HeadChange): SlowHead {
  const slow: SlowHead = {
    change,
    head: {
      ...head,
      logits: ({ shape, data }) =>
        head.logits(f32(shape, slow.change ? applyChange(slow.change, data) : data)),
      async pullBack(given) {
        const { shape, data } = await head.pullBack(given)
        return f32(shape, slow.change ? applyTransposedChange(slow.change, data) : data)
      },
      async rows(ids) {
        const rows = await head.rows(ids)
        return slow.change ? applyTransposedChange(slow.change, rows) : rows
      },
    },
    headLoss: {
      ...headLoss,
      async compute(logits, tokens, weights) {
        const result = await headLoss.compute(logits, tokens, weights)
        return slow.change
          ? { ...result, gradient: applyTransposedChange(slow.change, result.gradient) }
          : result
      },
      async gradient(places) {
        const gradient = await headLoss.gradient(places)
        return slow.change ? applyTransposedChange(slow.change, gradient) : gradient
      },
    },
  }
  return slow
}

/**
 * The slow change S and the fast one F = B_f·A_f as one: (I + S)·(I + F) − I = [B_s, B_f +
 * B_s·(A_s·B_f)]·[A_s; A_f], exact, then the best factors of the given rank. `residual`: ‖M −
 * M_r‖/‖M‖ (Frobenius) of the truncation; 0 where the rank is large enough.
 */
export function foldHead(
  slow: HeadChange | undefined,
  fast: HeadChange,
  rank: number,
): { readonly change: HeadChange; readonly residual: number } {
  const whole = slow ? sumChanges(slow, fast) : fast
  const [wholeRank, width] = whole.A.shape as [number, number]
  if (wholeRank <= rank)
    return {
      change: {
        A: f32(whole.A.shape, whole.A.data.slice()),
        B: f32(whole.B.shape, whole.B.data.slice()),
      },
      residual: 0,
    }
  const { a, b, residual } = truncateProduct(toMatrix(whole.B), toMatrix(whole.A), { rank })
  return {
    change: { A: f32([a.rows, width], a.data), B: f32([width, b.columns], b.data) },
    residual,
  }
}

function sumChanges(slow: HeadChange, fast: HeadChange): HeadChange {
  const [slowRank, width] = slow.A.shape as [number, number]
  const rank = slowRank + fast.A.shape[0]!
  const A = createMatrix(rank, width, new Float32Array(rank * width))
  A.data.set(slow.A.data)
  A.data.set(fast.A.data, slow.A.data.length)
  const B = createMatrix(width, rank, new Float32Array(rank * width))
  const inner = createMatrix(
    slowRank,
    rank - slowRank,
    new Float32Array(slowRank * (rank - slowRank)),
  )
  multiply(inner, toMatrix(slow.A), toMatrix(fast.B))
  const added = createMatrix(width, rank - slowRank, fast.B.data.slice())
  multiply(added, toMatrix(slow.B), inner, { add: true })
  for (let row = 0; row < width; row++) {
    B.data.set(slow.B.data.subarray(row * slowRank, (row + 1) * slowRank), row * rank)
    B.data.set(
      added.data.subarray(row * (rank - slowRank), (row + 1) * (rank - slowRank)),
      row * rank + slowRank,
    )
  }
  return { A: f32([rank, width], A.data), B: f32([width, rank], B.data) }
}
