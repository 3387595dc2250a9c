// Cross-entropy against a distribution instead of one label: over the whole vocabulary, or over a
// few tokens and one bucket for all others.

import { ShapeError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import { describeShape, type Value } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import {
  createZerosLike,
  checkRank,
  type Floats,
  asFloats,
  toIntegers,
  computeSoftmaxScale,
} from './arrays.ts'

const HIDDEN = -1e30 // far below any logit, and far from where subtracting one overflows f32

const rowOf = ({ data, shape }: Tensor, row: number): Floats =>
  (data as Floats).subarray(row * shape[1]!, (row + 1) * shape[1]!)

function logSumExp(row: Floats): number {
  const { top, total } = computeSoftmaxScale(row)
  return top + Math.log(total)
}

function computeSoftmax(row: Floats): Floats {
  const { top, total } = computeSoftmaxScale(row)
  return row.map((value) => Math.exp(value - top) / total)
}

function dot(a: Floats, b: Floats): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/** The remaining probability of all other tokens. */
function computeRest(shares: Floats): number {
  let rest = 1
  for (const share of shares) rest -= share
  return rest
}

/** A row without the given entries. */
const hideIds = (row: Floats, ids: readonly number[]): Floats => {
  const rest = row.slice()
  for (const id of ids) rest[id] = HIDDEN
  return rest
}

/** log Σ exp(x) = max x − log(max softmax(x)): stable, and the gradient shares the softmax. */
function emitLogSumExp(emit: OnnxEmitter, x: string): string {
  const top = (of: string): string =>
    emit.node('ReduceMax', [of, emit.ints([1])], { keepdims: { int: 0 } })
  return emit.node('Sub', [
    top(x),
    emit.node('Log', [top(emit.node('Softmax', [x], { axis: { int: -1 } }))]),
  ])
}

const emitSumOfProducts = (emit: OnnxEmitter, a: string, b: string): string =>
  emit.node('ReduceSum', [emit.node('Mul', [a, b]), emit.ints([1])], { keepdims: { int: 0 } })

const emitColumn = (emit: OnnxEmitter, values: string): string =>
  emit.node('Unsqueeze', [values, emit.ints([1])])

function checkSameShape(operation: string, a: Value, b: Value): void {
  if (a.shape.join() === b.shape.join()) return
  throw new ShapeError(
    `${operation}: got shapes ${describeShape(a.shape)} and ${describeShape(b.shape)}, expected the same.`,
  )
}

/**
 * loss_m = log Σ_v exp(logits[m, v]) − Σ_v shares[m, v]·logits[m, v]; a row's shares sum to 1.
 * logits, shares: [M, V] → [M].
 */
export const softCrossEntropy: Operation = {
  name: 'softCrossEntropy',
  shape([logits, shares]) {
    checkRank('softCrossEntropy', logits!, 2)
    checkSameShape('softCrossEntropy', logits!, shares!)
    return { dtype: logits!.dtype, shape: [logits!.shape[0]!] }
  },
  evaluate([logits, shares]) {
    const output = createZerosLike(logits!, [logits!.shape[0]!])
    for (let m = 0; m < output.data.length; m++) {
      const own = rowOf(shares!, m)
      const scores = rowOf(logits!, m)
      output.data[m] = logSumExp(scores) - dot(own, scores)
    }
    return output
  },
  gradient: (g, { inputs: [logits, shares], upstream }) => [
    g.op('softCrossEntropyGradient', [logits!, shares!, upstream]),
    undefined,
  ],
  onnx(emit, { inputs: [logits, shares], output }) {
    emit.node(
      'Sub',
      [emitLogSumExp(emit, logits!.name), emitSumOfProducts(emit, shares!.name, logits!.name)],
      {},
      output.name,
    )
  },
}

/** (softmax(logits) − shares) · upstream, row by row. */
export const softCrossEntropyGradient: Operation = {
  name: 'softCrossEntropyGradient',
  shape: ([logits]) => ({ dtype: logits!.dtype, shape: logits!.shape }),
  evaluate([logits, shares, upstream]) {
    const output = createZerosLike(logits!, logits!.shape)
    asFloats(upstream!).forEach((arriving, m) => {
      const own = rowOf(shares!, m)
      rowOf(output, m).set(
        computeSoftmax(rowOf(logits!, m)).map((share, v) => (share - own[v]!) * arriving),
      )
    })
    return output
  },
  onnx(emit, { inputs: [logits, shares, upstream], output }) {
    const difference = emit.node('Sub', [
      emit.node('Softmax', [logits!.name], { axis: { int: -1 } }),
      shares!.name,
    ])
    emit.node('Mul', [difference, emitColumn(emit, upstream!.name)], {}, output.name)
  },
}

/**
 * loss_m = −Σ_k shares[m, k]·log q(ids[m, k]) − r·log(1 − Σ_k q(ids[m, k])), q =
 * softmax(logits[m]), r = 1 − Σ_k shares[m, k]: a few tokens and a bucket for all the rest. logits:
 * [M, V]; ids i64 [M, K], different ones in a row, K < V; shares: [M, K] → [M].
 */
export const bucketCrossEntropy: Operation = {
  name: 'bucketCrossEntropy',
  shape([logits, ids, shares]) {
    checkRank('bucketCrossEntropy', logits!, 2)
    checkSameShape('bucketCrossEntropy', ids!, shares!)
    return { dtype: logits!.dtype, shape: [logits!.shape[0]!] }
  },
  evaluate([logits, ids, shares]) {
    const output = createZerosLike(logits!, [logits!.shape[0]!])
    const count = ids!.shape[1]!
    const all = toIntegers(ids!)
    for (let m = 0; m < output.data.length; m++) {
      const top = all.slice(m * count, (m + 1) * count)
      const scores = rowOf(logits!, m)
      const own = rowOf(shares!, m)
      const rest = computeRest(own)
      const chosen = top.reduce((sum, id, k) => sum + own[k]! * scores[id]!, 0)
      output.data[m] = logSumExp(scores) - chosen - rest * logSumExp(hideIds(scores, top))
    }
    return output
  },
  gradient: (g, { inputs: [logits, ids, shares], upstream }) => [
    g.op('bucketCrossEntropyGradient', [logits!, ids!, shares!, upstream]),
    undefined,
    undefined,
  ],
  onnx(emit, { inputs: [logits, ids, shares], output }) {
    const chosen = emit.node('GatherElements', [logits!.name, ids!.name], { axis: { int: 1 } })
    const rest = emitLogSumExp(emit, emitHidden(emit, logits!.name, ids!.name))
    const known = emit.node('Sub', [
      emitLogSumExp(emit, logits!.name),
      emitSumOfProducts(emit, shares!.name, chosen),
    ])
    emit.node(
      'Sub',
      [known, emit.node('Mul', [emitRest(emit, shares!.name), rest])],
      {},
      output.name,
    )
  },
}

/** Logits in which those of the ids are replaced by a number with softmax 0. */
function emitHidden(emit: OnnxEmitter, logits: string, ids: string): string {
  const zeros = emit.node('Mul', [
    emit.node('GatherElements', [logits, ids], { axis: { int: 1 } }),
    emit.float(0),
  ])
  return emit.node(
    'ScatterElements',
    [logits, ids, emit.node('Add', [zeros, emit.float(HIDDEN)])],
    { axis: { int: 1 } },
  )
}

const emitRest = (emit: OnnxEmitter, shares: string): string =>
  emit.node('Sub', [
    emit.float(1),
    emit.node('ReduceSum', [shares, emit.ints([1])], { keepdims: { int: 0 } }),
  ])

/**
 * (softmax(logits) − target) · upstream: the target has the shares at their ids, and r distributed
 * over the other tokens in proportion to their softmax.
 */
export const bucketCrossEntropyGradient: Operation = {
  name: 'bucketCrossEntropyGradient',
  shape: ([logits]) => ({ dtype: logits!.dtype, shape: logits!.shape }),
  evaluate([logits, ids, shares, upstream]) {
    const output = createZerosLike(logits!, logits!.shape)
    const count = ids!.shape[1]!
    const all = toIntegers(ids!)
    asFloats(upstream!).forEach((arriving, m) => {
      const top = all.slice(m * count, (m + 1) * count)
      const own = rowOf(shares!, m)
      const rest = computeRest(own)
      const target = computeSoftmax(hideIds(rowOf(logits!, m), top)).map((share) => share * rest)
      top.forEach((id, k) => (target[id] = own[k]!))
      rowOf(output, m).set(
        computeSoftmax(rowOf(logits!, m)).map((share, v) => (share - target[v]!) * arriving),
      )
    })
    return output
  },
  onnx(emit, { inputs: [logits, ids, shares, upstream], output }) {
    const softmax = (x: string): string => emit.node('Softmax', [x], { axis: { int: -1 } })
    const rest = emitColumn(emit, emitRest(emit, shares!.name))
    const spread = emit.node('Mul', [softmax(emitHidden(emit, logits!.name, ids!.name)), rest])
    const target = emit.node('ScatterElements', [spread, ids!.name, shares!.name], {
      axis: { int: 1 },
    })
    const difference = emit.node('Sub', [softmax(logits!.name), target])
    emit.node('Mul', [difference, emitColumn(emit, upstream!.name)], {}, output.name)
  },
}
