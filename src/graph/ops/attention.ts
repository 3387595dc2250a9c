// Grouped-query attention, over the current tokens or also over a cache of earlier ones. The mask
// is added to the scores.

import { assertInternal, ShapeError } from '../../base/errors.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { describeShape, multiplyDims, type Attributes, type Value } from '../ir.ts'
import type { OnnxEmitter, Operation, Operators } from '../operation.ts'
import { createZerosLike, asFloats, getNumberAttribute, type Floats } from './arrays.ts'
import { emitProduct } from './product.ts'

export interface AttentionForm {
  heads: number
  kvHeads: number
  headWidth: number
  scale: number
  /** Scores become cap·tanh(scores/cap); 0 is off. */
  softcap: number
}

export const readAttentionForm = (attributes: Attributes): AttentionForm => ({
  heads: getNumberAttribute(attributes, 'heads'),
  kvHeads: getNumberAttribute(attributes, 'kvHeads'),
  headWidth: getNumberAttribute(attributes, 'headWidth'),
  scale: getNumberAttribute(attributes, 'scale'),
  softcap: getNumberAttribute(attributes, 'softcap'),
})

export function checkWidths(q: Value, heads: number, headWidth: number): void {
  if (q.shape[2] !== heads * headWidth)
    throw new ShapeError(
      `attention: shape ${describeShape(q.shape)} is not ${heads} heads of width ${headWidth}.`,
    )
}

/** One row of probabilities from one row of scores, in place: softmax(cap(scores) + mask). */
function weigh(scores: Float64Array, mask: Floats, maskStart: number, softcap: number): void {
  for (let i = 0; i < scores.length; i++)
    scores[i] =
      (softcap ? softcap * Math.tanh(scores[i]! / softcap) : scores[i]!) + mask[maskStart + i]!
  const top = scores.reduce((most, value) => Math.max(most, value), -Infinity)
  let total = 0
  for (let i = 0; i < scores.length; i++) total += scores[i] = Math.exp(scores[i]! - top)
  for (let i = 0; i < scores.length; i++) scores[i]! /= total
}

/** The reference over q [N, T, H·d] and keys and values [N, K, S, d]. mask: [N or 1, 1, T, S]. */
export function attend(
  q: Tensor,
  keys: Tensor,
  values: Tensor,
  mask: Tensor,
  form: AttentionForm,
): Tensor {
  const batch = q.shape[0]!
  const tokens = q.shape[1]!
  const span = keys.shape[2]!
  const { heads, kvHeads, headWidth: d } = form
  const output = createZerosLike(q, [batch, tokens, heads * d])
  const query = asFloats(q)
  const key = asFloats(keys)
  const value = asFloats(values)
  const bias = asFloats(mask)
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < heads; h++) {
      const shared = (n * kvHeads + Math.floor((h * kvHeads) / heads)) * span * d
      for (let t = 0; t < tokens; t++) {
        const at = ((n * tokens + t) * heads + h) * d
        const scores = Float64Array.from({ length: span }, (_, s) => {
          let dot = 0
          for (let i = 0; i < d; i++) dot += query[at + i]! * key[shared + s * d + i]!
          return dot * form.scale
        })
        weigh(scores, bias, ((mask.shape[0] === 1 ? 0 : n) * tokens + t) * span, form.softcap)
        for (let s = 0; s < span; s++)
          for (let i = 0; i < d; i++)
            output.data[at + i]! += scores[s]! * value[shared + s * d + i]!
      }
    }
  }
  return output
}

/** [N, T, K·d] → [N, K, T, d] */
export function splitHeads(x: Tensor, heads: number, headWidth: number): Tensor {
  const batch = x.shape[0]!
  const tokens = x.shape[1]!
  const output = createZerosLike(x, [batch, heads, tokens, headWidth])
  const values = asFloats(x)
  for (let i = 0; i < sizeOf(x.shape); i++) {
    const within = i % headWidth
    const head = Math.floor(i / headWidth) % heads
    const t = Math.floor(i / (headWidth * heads)) % tokens
    const n = Math.floor(i / (headWidth * heads * tokens))
    output.data[((n * heads + head) * tokens + t) * headWidth + within] = values[i]!
  }
  return output
}

const toHeads = (g: Operators, x: Value, heads: number, headWidth: number): Value =>
  g.transpose(g.reshape(x, [x.shape[0]!, x.shape[1]!, heads, headWidth]), [0, 2, 1, 3])

/**
 * softmax(cap(scale·q·kᵀ) + mask)·v. q: [N, T, H·d], k and v: [N, T, K·d], mask: [N or 1, 1, T, T]
 * → [N, T, H·d].
 */
export const attention: Operation = {
  name: 'attention',
  shape([q, k], attributes) {
    const { heads, kvHeads, headWidth } = readAttentionForm(attributes)
    checkWidths(q!, heads, headWidth)
    checkWidths(k!, kvHeads, headWidth)
    return { dtype: q!.dtype, shape: q!.shape }
  },
  evaluate([q, k, v, mask], attributes) {
    const form = readAttentionForm(attributes)
    return attend(
      q!,
      splitHeads(k!, form.kvHeads, form.headWidth),
      splitHeads(v!, form.kvHeads, form.headWidth),
      mask!,
      form,
    )
  },
  expand(g, [q, k, v, mask], attributes) {
    const { heads, kvHeads, headWidth, scale, softcap } = readAttentionForm(attributes)
    const batch = q!.shape[0]!
    const tokens = q!.shape[1]!
    const span = k!.shape[1]!
    // query heads that share a key head, as rows of one product
    const grouped = [batch, kvHeads, multiplyDims(heads / kvHeads, tokens), headWidth]
    const query = g.reshape(toHeads(g, q!, heads, headWidth), grouped)
    const scores = g.matmul(query, toHeads(g, k!, kvHeads, headWidth), {
      transB: true,
      alpha: scale,
    })
    const capped = softcap ? g.scale(g.op('tanh', [g.scale(scores, 1 / softcap)]), softcap) : scores
    const masked = g.add(g.reshape(capped, [batch, heads, tokens, span]), mask!)
    const shares = g.reshape(g.op('softmax', [masked]), scores.shape)
    const mixed = g.reshape(g.matmul(shares, toHeads(g, v!, kvHeads, headWidth)), [
      batch,
      heads,
      tokens,
      headWidth,
    ])
    return g.reshape(g.transpose(mixed, [0, 2, 1, 3]), q!.shape)
  },
  onnx() {
    assertInternal(false, 'attention is expanded before it is written')
  },
}

/** [N, T, K·d] → [N, K, T, d]: the form in which a cache stores new keys or values. */
export const cacheEntry: Operation = {
  name: 'cacheEntry',
  shape: ([x], attributes) => ({
    dtype: x!.dtype,
    shape: [
      x!.shape[0]!,
      getNumberAttribute(attributes, 'heads'),
      x!.shape[1]!,
      getNumberAttribute(attributes, 'headWidth'),
    ],
  }),
  evaluate: ([x], attributes) =>
    splitHeads(
      x!,
      getNumberAttribute(attributes, 'heads'),
      getNumberAttribute(attributes, 'headWidth'),
    ),
  onnx(emit, { inputs: [x], output, attributes }) {
    const heads = getNumberAttribute(attributes, 'heads')
    const headWidth = getNumberAttribute(attributes, 'headWidth')
    if (x!.shape[1] === 1) {
      // One token: the swapped axes have length 1.
      emit.node('Reshape', [x!.name, emit.ints([0, heads, 1, headWidth])], {}, output.name)
      return
    }
    const split = emit.node('Reshape', [x!.name, emit.ints([0, -1, heads, headWidth])])
    emit.node('Transpose', [split], { perm: { ints: [0, 2, 1, 3] } }, output.name)
  },
}

/**
 * Keys (or values) of the cache followed by the new ones: [N, K, P, d] and [N, K, T, d] → [N, K,
 * P+T, d].
 */
export function joinSpan(past: Tensor, fresh: Tensor): Tensor {
  const [batch, heads, earlier, d] = past.shape as [number, number, number, number]
  const tokens = fresh.shape[2]!
  const output = createZerosLike(fresh, [batch, heads, earlier + tokens, d])
  for (let row = 0; row < batch * heads; row++) {
    output.data.set(
      asFloats(past).subarray(row * earlier * d, (row + 1) * earlier * d),
      row * (earlier + tokens) * d,
    )
    output.data.set(
      asFloats(fresh).subarray(row * tokens * d, (row + 1) * tokens * d),
      (row * (earlier + tokens) + earlier) * d,
    )
  }
  return output
}

/**
 * Attention over [past | new] without concatenating them: one softmax over the scores of both
 * parts, whose outputs are added. q: [N, T, H·d], k and v: [N, K, T, d], past keys and values: [N,
 * K, P, d], mask: [N or 1, 1, T, P+T], split: i64 [2] = [P, T].
 */
export const cachedAttention: Operation = {
  name: 'cachedAttention',
  shape([q], attributes) {
    checkWidths(
      q!,
      getNumberAttribute(attributes, 'heads'),
      getNumberAttribute(attributes, 'headWidth'),
    )
    return { dtype: q!.dtype, shape: q!.shape }
  },
  evaluate: ([q, k, v, pastK, pastV, mask], attributes) =>
    attend(q!, joinSpan(pastK!, k!), joinSpan(pastV!, v!), mask!, readAttentionForm(attributes)),
  onnx: (emit, { inputs, output, attributes }) =>
    emitCachedAttention(
      emit,
      inputs.map(({ name }) => name) as CachedAttentionNames,
      output.name,
      attributes,
    ),
}

type CachedAttentionNames = [
  q: string,
  k: string,
  v: string,
  pastK: string,
  pastV: string,
  mask: string,
  split: string,
]

export function emitCachedAttention(
  emit: OnnxEmitter,
  [q, k, v, pastK, pastV, mask, split]: CachedAttentionNames,
  output: string,
  attributes: Attributes,
): void {
  const { heads, kvHeads, headWidth: d, scale, softcap } = readAttentionForm(attributes)
  const reshape = (x: string, dims: number[]): string => emit.node('Reshape', [x, emit.ints(dims)])
  const perHead = emit.node('Transpose', [reshape(q, [0, -1, heads, d])], {
    perm: { ints: [0, 2, 1, 3] },
  }) // [N, H, T, d]
  const query = reshape(perHead, [0, kvHeads, -1, d]) // [N, K, (H/K)·T, d]
  const product = { transB: true, alpha: scale }
  const parts = [pastK, k].map((keys) => emitProduct(emit, [query, 4], [keys, 4], product))
  const scores = emit.node('Concat', parts, { axis: { int: 3 } }) // [N, K, (H/K)·T, P+T]
  const capped = softcap
    ? emit.node('Mul', [
        emit.node('Tanh', [emit.node('Mul', [scores, emit.float(1 / softcap)])]),
        emit.float(softcap),
      ])
    : scores
  // The mask is [N, 1, T, P+T]; five dimensions let it meet every query head: [N, K, H/K, T,
  // P+T].
  const grouped = emit.node('Reshape', [
    capped,
    emit.node(
      'Concat',
      [
        emit.ints([0, kvHeads, heads / kvHeads, -1]),
        emit.node('ReduceSum', [split, emit.ints([0])], { keepdims: { int: 1 } }),
      ],
      { axis: { int: 0 } },
    ),
  ])
  const masked = emit.node('Add', [grouped, emit.node('Unsqueeze', [mask, emit.ints([1])])])
  const shares = emit.node('Reshape', [
    emit.node('Softmax', [masked], { axis: { int: -1 } }),
    emit.node('Shape', [scores]),
  ])
  const before = emit.fresh()
  const now = emit.fresh()
  emit.nodeWithOutputs('Split', '', [shares, split], { axis: { int: 3 } }, [before, now])
  const mixed = emit.node('Add', [
    emit.node('MatMul', [before, pastV]),
    emit.node('MatMul', [now, v]),
  ])
  const rows = emit.node('Transpose', [reshape(mixed, [0, heads, -1, d])], {
    perm: { ints: [0, 2, 1, 3] },
  }) // [N, T, H, d]
  emit.node('Reshape', [rows, emit.ints([0, -1, heads * d])], {}, output)
}
