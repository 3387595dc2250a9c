// The slow tier's part at the head: what fast tiers learned there, summed exactly and cut to a
// lower rank. It stands between the fast tier and the head, so that nothing of either has to know
// of it. Knows no users.

import { truncateProduct } from '../../base/linalg/low-rank.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { type Matrix, matrixOf, transpose } from '../../base/linalg/matrix.ts'
import { fastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Head } from '../../runtime/index.ts'
import type { HeadErrors } from '../tiers/head-gradient.ts'

/** h ← h + B·(A·h) of the head's input. */
export interface HeadChange {
  readonly A: F32Tensor // [R, D]
  readonly B: F32Tensor // [D, R]
}

/** A head whose change can be replaced at any time, and its errors. */
export interface SlowHead {
  change: HeadChange | undefined
  readonly head: Head
  readonly errors: HeadErrors
}

const matrix = ({ shape, data }: F32Tensor): Matrix<Float32Array> =>
  matrixOf(shape[0]!, shape[1]!, data)

/** x + x·left·right for rows x [M, D], left [D, R], right [R, D]; a new array. */
function moved(
  values: Float32Array,
  left: Matrix<Float32Array>,
  right: Matrix<Float32Array>,
): Float32Array {
  const result = values.slice()
  const x = matrixOf(values.length / left.rows, left.rows, values)
  const low = matrixOf(x.rows, left.columns, new Float32Array(x.rows * left.columns))
  const kernel = fastKernels().f32
  multiply(low, x, left, { kernel })
  multiply(matrixOf(x.rows, x.columns, result), low, right, { add: true, kernel })
  return result
}

const forward = ({ A, B }: HeadChange, hidden: Float32Array): Float32Array =>
  moved(hidden, transpose(matrix(A)), transpose(matrix(B)))
const backward = ({ A, B }: HeadChange, gradient: Float32Array): Float32Array =>
  moved(gradient, matrix(B), matrix(A))

/**
 * The head behind a change S = B·A: logits W·(I + S)·h, gradients (I + S)ᵀ·g, rows W·(I + S).
 * Without a change it is the head itself.
 */
export function slowHead(head: Head, errors: HeadErrors, change?: HeadChange): SlowHead {
  const slow: SlowHead = {
    change,
    head: {
      ...head,
      logits: ({ shape, data }) =>
        head.logits(f32(shape, slow.change ? forward(slow.change, data) : data)),
      async pullBack(given) {
        const { shape, data } = await head.pullBack(given)
        return f32(shape, slow.change ? backward(slow.change, data) : data)
      },
      async rows(ids) {
        const rows = await head.rows(ids)
        return slow.change ? backward(slow.change, rows) : rows
      },
    },
    errors: {
      ...errors,
      async of(logits, tokens, weights) {
        const error = await errors.of(logits, tokens, weights)
        return slow.change ? { ...error, gradient: backward(slow.change, error.gradient) } : error
      },
      async gradient(places) {
        const gradient = await errors.gradient(places)
        return slow.change ? backward(slow.change, gradient) : gradient
      },
    },
  }
  return slow
}

/**
 * The slow change S and the fast one F = B_f·A_f as one: (I + S)·(I + F) − I = [B_s, B_f +
 * B_s·(A_s·B_f)]·[A_s; A_f], exact, then the best factors of the rank that is asked for.
 * `residual`: ‖M − M_r‖/‖M‖ (Frobenius) of what was cut; 0 where nothing was.
 */
export function foldHead(
  slow: HeadChange | undefined,
  fast: HeadChange,
  rank: number,
): { readonly change: HeadChange; readonly residual: number } {
  const whole = slow ? summed(slow, fast) : fast
  const [wholeRank, width] = whole.A.shape as [number, number]
  if (wholeRank <= rank)
    return {
      change: {
        A: f32(whole.A.shape, whole.A.data.slice()),
        B: f32(whole.B.shape, whole.B.data.slice()),
      },
      residual: 0,
    }
  const { a, b, residual } = truncateProduct(matrix(whole.B), matrix(whole.A), { rank })
  return {
    change: { A: f32([a.rows, width], a.data), B: f32([width, b.columns], b.data) },
    residual,
  }
}

function summed(slow: HeadChange, fast: HeadChange): HeadChange {
  const [slowRank, width] = slow.A.shape as [number, number]
  const rank = slowRank + fast.A.shape[0]!
  const A = matrixOf(rank, width, new Float32Array(rank * width))
  A.data.set(slow.A.data)
  A.data.set(fast.A.data, slow.A.data.length)
  const B = matrixOf(width, rank, new Float32Array(rank * width))
  const inner = matrixOf(slowRank, rank - slowRank, new Float32Array(slowRank * (rank - slowRank)))
  multiply(inner, matrix(slow.A), matrix(fast.B))
  const added = matrixOf(width, rank - slowRank, fast.B.data.slice())
  multiply(added, matrix(slow.B), inner, { add: true })
  for (let row = 0; row < width; row++) {
    B.data.set(slow.B.data.subarray(row * slowRank, (row + 1) * slowRank), row * rank)
    B.data.set(
      added.data.subarray(row * (rank - slowRank), (row + 1) * (rank - slowRank)),
      row * rank + slowRank,
    )
  }
  return { A: f32([rank, width], A.data), B: f32([width, rank], B.data) }
}
