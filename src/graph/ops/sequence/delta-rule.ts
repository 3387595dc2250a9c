// The gated delta rule (Yang et al. 2024, arXiv:2412.06464): each head has a state S that decays
// and is corrected towards the value of each key,
//
//     S_t = a_t·S_{t−1} + k_t ⊗ β_t·(v_t − (a_t·S_{t−1})ᵀ·k_t),   y_t = S_tᵀ·q_t,   a_t = exp(decay_t).
//
// Whole sequences are computed in chunks: products over the tokens inside a chunk (the WY form),
// and a scan from chunk to chunk. A sequence begins with an empty state.

import { assertInternal } from '../../../base/errors.ts'
import type { Tensor } from '../../../base/tensor.ts'
import { type Attributes, multiplyDims, type Value } from '../../ir.ts'
import type { Operation, Operators } from '../../operation.ts'
import { asFloats, checkDim, createZerosLike, getNumberAttribute, toIntegers } from '../arrays.ts'

/** Tokens of a chunk: short enough that the inverse inside it is exact up to rounding. */
const CHUNK = 16

interface DeltaForm {
  readonly heads: number
  readonly keyHeads: number
  readonly keyWidth: number
  readonly valueWidth: number
}

const readForm = (attributes: Attributes): DeltaForm => ({
  heads: getNumberAttribute(attributes, 'heads'),
  keyHeads: getNumberAttribute(attributes, 'keyHeads'),
  keyWidth: getNumberAttribute(attributes, 'keyWidth'),
  valueWidth: getNumberAttribute(attributes, 'valueWidth'),
})

/** One token of one head, in place; the state is [keyWidth, valueWidth] from `at` on. */
function stepHead(
  state: Float64Array,
  at: number,
  { keyWidth, valueWidth }: DeltaForm,
  token: {
    readonly key: ArrayLike<number>
    readonly value: ArrayLike<number>
    readonly decay: number
    readonly beta: number
  },
): void {
  const { key, value, decay, beta } = token
  const forget = Math.exp(decay)
  for (let i = 0; i < keyWidth * valueWidth; i++) state[at + i]! *= forget
  for (let j = 0; j < valueWidth; j++) {
    let known = 0
    for (let i = 0; i < keyWidth; i++) known += state[at + i * valueWidth + j]! * key[i]!
    const change = beta * (value[j]! - known)
    for (let i = 0; i < keyWidth; i++) state[at + i * valueWidth + j]! += key[i]! * change
  }
}

/** The reference: token by token. */
function evaluateDelta(inputs: readonly Tensor[], form: DeltaForm): Tensor {
  const [q, k, v, decay, beta] = inputs.slice(0, 5).map(asFloats) as Float64Array[]
  const { heads, keyHeads, keyWidth, valueWidth } = form
  const [rows, tokens] = inputs[0]!.shape as [number, number]
  const places = toIntegers(inputs[5]!)
  const output = createZerosLike(inputs[2]!, [rows, tokens, heads * valueWidth])
  for (let n = 0; n < rows; n++) {
    const state = new Float64Array(heads * keyWidth * valueWidth)
    for (let t = 0; t < tokens; t++) {
      const at = n * tokens + t
      if (places[at] === 0) state.fill(0)
      for (let h = 0; h < heads; h++) {
        const from = (at * keyHeads + Math.floor((h * keyHeads) / heads)) * keyWidth
        const to = (at * heads + h) * valueWidth
        const start = h * keyWidth * valueWidth
        stepHead(state, start, form, {
          key: k!.subarray(from, from + keyWidth),
          value: v!.subarray(to, to + valueWidth),
          decay: decay![at * heads + h]!,
          beta: beta![at * heads + h]!,
        })
        for (let i = 0; i < keyWidth; i++)
          for (let j = 0; j < valueWidth; j++)
            output.data[to + j]! += q![from + i]! * state[start + i * valueWidth + j]!
      }
    }
  }
  return output
}

/** [N, T, H·d] → [N, H, T, d] */
const toHeads = (g: Operators, x: Value, heads: number, width: number): Value =>
  g.transpose(g.reshape(x, [x.shape[0]!, x.shape[1]!, heads, width]), [0, 2, 1, 3])

/** [N, H, T, d] → [N, T, H·d] */
const fromHeads = (g: Operators, x: Value): Value => {
  const [rows, heads, tokens, width] = x.shape
  return g.reshape(g.transpose(x, [0, 2, 1, 3]), [rows!, tokens!, multiplyDims(heads!, width!)])
}

/** Repeats each head of [N, K, T, d] for all heads that share it: [N, H, T, d]. */
function repeatHeads(g: Operators, x: Value, times: number): Value {
  if (times === 1) return x
  const [rows, heads, tokens, width] = x.shape
  const single = g.reshape(x, [rows!, heads!, 1, tokens!, width!])
  const several = g.concat(new Array<Value>(times).fill(single), 2)
  return g.reshape(several, [rows!, multiplyDims(heads!, times), tokens!, width!])
}

interface DeltaHeads {
  readonly q: Value // [N, H, T, dk]
  readonly k: Value // [N, H, T, dk]
  readonly v: Value // [N, H, T, dv]
  readonly decay: Value // [N, H, T, 1]
  readonly beta: Value // [N, H, T, 1]
}

function splitInputs(
  g: Operators,
  [q, k, v, decay, beta]: readonly Value[],
  { heads, keyHeads, keyWidth, valueWidth }: DeltaForm,
): DeltaHeads {
  const shared = (x: Value): Value =>
    repeatHeads(g, toHeads(g, x, keyHeads, keyWidth), heads / keyHeads)
  return {
    q: shared(q!),
    k: shared(k!),
    v: toHeads(g, v!, heads, valueWidth),
    decay: toHeads(g, decay!, heads, 1),
    beta: toHeads(g, beta!, heads, 1),
  }
}

/** The result of a pass over tokens: y [N, H, T, dv], and the state after them [N, H, dk, dv]. */
interface DeltaPass {
  readonly y: Value
  readonly state: Value
}

/**
 * Chunk by chunk. `starts`: how many sequences begin in a chunk up to each token. `past`: the state
 * before the first token; default: zeros.
 */
function buildChunks(
  g: Operators,
  given: DeltaHeads,
  starts: Value | undefined,
  past?: Value,
): DeltaPass {
  const [q, k, v, decay, beta] = [given.q, given.k, given.v, given.decay, given.beta].map((x) =>
    g.op('splitChunks', [x], { length: CHUNK }),
  ) as [Value, Value, Value, Value, Value]
  const sums = g.op('cumulativeSum', [g.reshape(decay, decay.shape.slice(0, -1))], {
    reverse: false,
  }) // [N, H, C, L]
  const marks = starts ? [sums, starts] : [sums]
  const pairs = g.op('pairDecay', marks) // [N, H, C, L, L]: from each earlier token to each
  const entered = g.reshape(g.op('startDecay', marks), decay.shape) // [N, H, C, L, 1]
  const weighed = g.multiply(k, beta)
  const inverse = g.op('invertUnitLower', [
    g.multiply(g.matmul(weighed, k, { transB: true }), pairs),
  ])
  const values = g.matmul(inverse, g.multiply(v, beta)) // [N, H, C, L, dv]
  const reads = g.matmul(inverse, g.multiply(weighed, entered)) // [N, H, C, L, dk]
  const left = g.reshape(g.slice(pairs, 3, CHUNK - 1, CHUNK), decay.shape) // to the chunk's end
  const written = g.multiply(k, left)
  const change = g.matmul(written, reads, { transA: true, alpha: -1 }) // [N, H, C, dk, dk]
  const added = g.matmul(written, values, { transA: true }) // [N, H, C, dk, dv]
  const kept = g.slice(entered, 3, CHUNK - 1, CHUNK) // [N, H, C, 1, 1]
  const scan = [change, added, kept, ...(past ? [past] : [])]
  const states = g.op('stateScan', scan, { reverse: false }) // before each chunk
  const fresh = g.subtract(values, g.matmul(reads, states))
  const inside = g.multiply(g.matmul(q, k, { transB: true }), pairs)
  const y = g.add(g.matmul(g.multiply(q, entered), states), g.matmul(inside, fresh))
  const last = (x: Value): Value => g.op('takeLast', [x])
  const ending = g.add(g.multiply(last(states), last(kept)), g.matmul(last(change), last(states)))
  return { y: g.op('joinChunks', [y, given.v]), state: g.add(ending, last(added)) }
}

/** One token of each row. */
function buildStep(g: Operators, { q, k, v, decay, beta }: DeltaHeads, past: Value): DeltaPass {
  const kept = g.multiply(past, g.op('exponential', [decay])) // [N, H, dk, dv]
  const change = g.multiply(g.subtract(v, g.matmul(k, kept)), beta) // [N, H, 1, dv]
  const state = g.add(kept, g.matmul(k, change, { transA: true }))
  return { y: g.matmul(q, state), state }
}

/**
 * New tokens after a state [N, H, dk, dv]: y [N, T, H·dv] and the state after them. `held` [N, T,
 * 1] is 0 for padding, which does not change the state.
 */
export function buildCachedDelta(
  g: Operators,
  inputs: readonly Value[],
  attributes: Attributes,
  past: Value,
  held: () => Value,
): DeltaPass {
  const form = readForm(attributes)
  const [q, k, v, decay, beta] = inputs as [Value, Value, Value, Value, Value]
  const isStep = v.shape[1] === 1
  const real = isStep ? [decay, beta] : [decay, beta].map((x) => g.multiply(x, held()))
  const heads = splitInputs(g, [q, k, v, ...real], form)
  const { y, state } = isStep ? buildStep(g, heads, past) : buildChunks(g, heads, undefined, past)
  return { y: fromHeads(g, y), state }
}

/**
 * y of whole sequences. q, k: [N, T, K·dk], v: [N, T, H·dv], decay (≤ 0) and beta: [N, T, H],
 * positions: i64 [N, T] → [N, T, H·dv].
 */
export const gatedDelta: Operation = {
  name: 'gatedDelta',
  shape([q, k, v, decay, beta], attributes) {
    const { heads, keyHeads, keyWidth, valueWidth } = readForm(attributes)
    checkDim('gatedDelta', 'the width of the queries', q!.shape[2], keyHeads * keyWidth)
    checkDim('gatedDelta', 'the width of the keys', k!.shape[2], keyHeads * keyWidth)
    checkDim('gatedDelta', 'the width of the values', v!.shape[2], heads * valueWidth)
    for (const x of [decay, beta]) checkDim('gatedDelta', 'the number of gates', x!.shape[2], heads)
    return { dtype: v!.dtype, shape: v!.shape }
  },
  evaluate: (inputs, attributes) => evaluateDelta(inputs, readForm(attributes)),
  expand(g, inputs, attributes) {
    const starts = g.op('countStarts', [inputs[5]!], { length: CHUNK })
    return fromHeads(g, buildChunks(g, splitInputs(g, inputs, readForm(attributes)), starts).y)
  },
  onnx() {
    assertInternal(false, 'gatedDelta is expanded before it is written')
  },
}
