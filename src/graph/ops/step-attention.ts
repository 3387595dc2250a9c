// Attention of the two step programs: one new token of each row over blocks of its cache (decode),
// and a piece of one prompt over the cached tokens (prefill). Both compute the same as
// cachedAttention, in the form that is fastest on ONNX Runtime for their shapes.

import type { Tensor } from '../../base/tensor.ts'
import type { OnnxContext, OnnxEmitter, Operation } from '../operation.ts'
import { createZerosLike, getNumberAttribute, visitIndices } from './arrays.ts'
import {
  attend,
  checkWidths,
  emitCachedAttention,
  joinSpan,
  readAttentionForm,
  splitHeads,
} from './attention.ts'
import { emitProduct } from './product.ts'

/**
 * One new token of each row over [past | new]. q: [N, 1, H·d], k and v: [N, K, 1, d], past keys and
 * values: [N, K, C, d], mask: [N, 1, 1, C+1], split: i64 [2] = [C, 1]. The past is seen as B blocks
 * of W slots, C = B·W, by two shapes: pastShape i64 [6] = [0, K, B, 1, W, d], sharesShape i64 [6] =
 * [0, K, H/K, 1, B, W]. With one unscaled query per product, ONNX Runtime reads keys and values in
 * place; the H/K queries of a key head use each block while it is in the processor's cache.
 */
export const blockAttention: Operation = {
  name: 'blockAttention',
  shape([q], attributes) {
    const { heads, headWidth } = readAttentionForm(attributes)
    checkWidths(q!, heads, headWidth)
    return { dtype: q!.dtype, shape: q!.shape }
  },
  evaluate: ([q, k, v, pastK, pastV, mask], attributes) =>
    attend(q!, joinSpan(pastK!, k!), joinSpan(pastV!, v!), mask!, readAttentionForm(attributes)),
  onnx: emitBlockAttention,
}

function emitBlockAttention(emit: OnnxEmitter, { inputs, output, attributes }: OnnxContext): void {
  const [q, k, v, pastK, pastV, mask, split, pastShape, sharesShape] = inputs.map(
    ({ name }) => name,
  ) as [string, string, string, string, string, string, string, string, string]
  const { heads, kvHeads, headWidth: d, scale, softcap } = readAttentionForm(attributes)
  const group = heads / kvHeads
  const reshape = (x: string, dims: number[]): string => emit.node('Reshape', [x, emit.ints(dims)])
  const swap = { perm: { ints: [0, 1, 3, 4, 2, 5] } } // [N, K, B, H/K, 1, W] → [N, K, H/K, 1, B, W]
  const swapBack = { perm: { ints: [0, 1, 4, 2, 3, 5] } }
  const product = { transB: true }
  const scaled = scale === 1 ? q : emit.node('Mul', [q, emit.float(scale)])
  const blocks = emitProduct(
    emit,
    [reshape(scaled, [0, kvHeads, 1, group, 1, d]), 6],
    [emit.node('Reshape', [pastK, pastShape]), 6],
    product,
  ) // [N, K, B, H/K, 1, W]
  const before = reshape(emit.node('Transpose', [blocks], swap), [0, kvHeads, group, -1])
  // [N, K, H/K, 1]
  const own = emitProduct(emit, [reshape(scaled, [0, kvHeads, group, d]), 4], [k, 4], product)
  const scores = emit.node('Concat', [before, own], { axis: { int: 3 } }) // [N, K, H/K, C+1]
  const capped = softcap
    ? emit.node('Mul', [
        emit.node('Tanh', [emit.node('Mul', [scores, emit.float(1 / softcap)])]),
        emit.float(softcap),
      ])
    : scores
  const shares = emit.node('Softmax', [emit.node('Add', [capped, mask])], { axis: { int: -1 } })
  const ofPast = emit.fresh()
  const ofOwn = emit.fresh()
  emit.nodeWithOutputs('Split', '', [shares, split], { axis: { int: 3 } }, [ofPast, ofOwn])
  // [N, K, B, H/K, 1, W]
  const spread = emit.node('Transpose', [emit.node('Reshape', [ofPast, sharesShape])], swapBack)
  const mixed = emit.node('MatMul', [spread, emit.node('Reshape', [pastV, pastShape])])
  const sum = emit.node('ReduceSum', [mixed, emit.ints([2, 4])], { keepdims: { int: 0 } })
  const whole = emit.node('Add', [sum, emit.node('MatMul', [ofOwn, v])]) // [N, K, H/K, d]
  emit.node('Reshape', [whole, emit.ints([0, 1, heads * d])], {}, output.name)
}

/**
 * T new tokens of each row over its cache, causal. q: [N, T, H·d], k and v: [N, T, K·d], past keys
 * and values: [N, K, C, d], last: i32 [N], the position of each row's last new token; total: i32,
 * the largest of them + 1. A `window` above 0 is the number of tokens to which a query attends,
 * itself included. No mask is read. Uses ONNX Runtime's own kernel, which is not fast with a soft
 * cap.
 */
export const pieceAttention: Operation = {
  name: 'pieceAttention',
  shape([q, k], attributes) {
    const { heads, kvHeads, headWidth } = readAttentionForm(attributes)
    checkWidths(q!, heads, headWidth)
    checkWidths(k!, kvHeads, headWidth)
    return { dtype: q!.dtype, shape: q!.shape }
  },
  evaluate([q, k, v, pastK, pastV, last], attributes) {
    const form = readAttentionForm(attributes)
    const fresh = (x: Tensor): Tensor => splitHeads(x, form.kvHeads, form.headWidth)
    const mask = computePieceMask(q!, pastK!, last!, getNumberAttribute(attributes, 'window'))
    return attend(q!, joinSpan(pastK!, fresh(k!)), joinSpan(pastV!, fresh(v!)), mask, form)
  },
  onnx(emit, context) {
    if (!emit.has('GroupQueryAttention')) return emitMaskedPiece(emit, context)
    const { inputs, output, attributes } = context
    const { heads, kvHeads, scale } = readAttentionForm(attributes)
    const window = getNumberAttribute(attributes, 'window')
    // The fast kernels need keys and values of all tokens as outputs, which are not used.
    emit.nodeWithOutputs(
      'GroupQueryAttention',
      'com.microsoft',
      inputs.map(({ name }) => name),
      {
        num_heads: { int: heads },
        kv_num_heads: { int: kvHeads },
        scale: { float: scale },
        ...(window > 0 ? { local_window_size: { int: window } } : {}),
      },
      [output.name, emit.fresh(), emit.fresh()],
    )
  },
}

const INT32 = 6 // TensorProto.DataType
const INT64 = 7
const UNSEEN = -1e30

/** The same in plain operators: cachedAttention with a mask that is computed here. */
function emitMaskedPiece(emit: OnnxEmitter, { inputs, output, attributes }: OnnxContext): void {
  const [q, k, v, pastK, pastV, last, total] = inputs.map(({ name }) => name) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const { kvHeads, headWidth } = readAttentionForm(attributes)
  const tokens = emit.node('Shape', [q], { start: { int: 1 }, end: { int: 2 } }) // i64 [1]
  // Slots after the longest row are empty; one is kept if all are empty.
  const ended = emit.node('Reshape', [
    emit.node('Cast', [total], { to: { int: INT64 } }),
    emit.ints([1]),
  ])
  const filled = emit.node('Max', [emit.node('Sub', [ended, tokens]), emit.ints([1])])
  const split = [filled, tokens] as const
  const takeFilled = (past: string): string =>
    emit.node('Slice', [past, emit.ints([0]), filled, emit.ints([2])])
  const toHeads = (x: string): string => {
    const heads = emit.node('Reshape', [x, emit.ints([0, -1, kvHeads, headWidth])])
    return emit.node('Transpose', [heads], { perm: { ints: [0, 2, 1, 3] } })
  }
  const mask = emitPieceMask(emit, {
    last,
    split,
    window: getNumberAttribute(attributes, 'window'),
  })
  const joined = emit.node('Concat', split, { axis: { int: 0 } })
  emitCachedAttention(
    emit,
    [q, toHeads(k), toHeads(v), takeFilled(pastK), takeFilled(pastV), mask, joined],
    output.name,
    attributes,
  )
}

interface PieceMask {
  readonly last: string
  /** i64 [1] each: slots of the cache, new tokens. */
  readonly split: readonly [slots: string, tokens: string]
  readonly window: number
}

/** Emits the mask of `computePieceMask`, f32 [N, 1, T, C+T]. */
function emitPieceMask(emit: OnnxEmitter, { last, split, window }: PieceMask): string {
  const [slots, tokens] = split.map((count) => emit.node('Cast', [count], { to: { int: INT32 } }))
  const whole = (name: string, shape: readonly number[], value: number): string =>
    emit.constant(name, () => ({ dtype: 'i32', shape, data: Int32Array.of(value) }))
  const zero = whole('%zero32', [], 0)
  const one = whole('%one32', [], 1)
  const countUp = (to: string): string =>
    emit.node('Range', [zero, emit.node('Squeeze', [to, emit.ints([0])]), one])
  const ended = emit.node('Add', [emit.node('Unsqueeze', [last, emit.ints([1, 2, 3])]), one])
  const length = emit.node('Sub', [ended, tokens!]) // [N, 1, 1, 1]
  const places = countUp(emit.node('Add', [slots!, tokens!])) // [C+T]
  const isPast = emit.node('Less', [places, slots!])
  const ofNew = emit.node('Sub', [emit.node('Add', [length, places]), slots!])
  const keys = emit.node('Where', [isPast, places, ofNew]) // [N, 1, 1, C+T]
  const queries = emit.node('Add', [
    length,
    emit.node('Unsqueeze', [countUp(tokens!), emit.ints([1])]),
  ]) // [N, 1, T, 1]
  const isFilled = emit.node('Or', [
    emit.node('Not', [isPast]),
    emit.node('Less', [places, length]),
  ])
  const conditions = [isFilled, emit.node('LessOrEqual', [keys, queries])]
  if (window > 0) {
    const width = whole(`%window${window}`, [], window)
    conditions.push(emit.node('Greater', [keys, emit.node('Sub', [queries, width])]))
  }
  const isSeen = conditions.reduce((all, condition) => emit.node('And', [all, condition]))
  return emit.node('Where', [isSeen, emit.float(0), emit.float(UNSEEN)])
}

/** The mask of [past | new] for each query: [N, 1, T, C+T], 0 where it attends. */
function computePieceMask(q: Tensor, past: Tensor, last: Tensor, window: number): Tensor {
  const [rows, tokens] = q.shape as [number, number]
  const capacity = past.shape[2]!
  const mask = createZerosLike(q, [rows, 1, tokens, capacity + tokens])
  visitIndices(mask.shape, ([n, , t, s], flat) => {
    const length = Number(last.data[n!]!) + 1 - tokens
    const query = length + t!
    const key = s! < capacity ? s! : length + s! - capacity
    const isFilled = s! >= capacity || s! < length
    const isSeen = isFilled && key <= query && (window === 0 || key > query - window)
    mask.data[flat] = isSeen ? 0 : -Infinity
  })
  return mask
}
