// Causal convolutions of each channel separately, over the given tokens or after a window of
// earlier ones. A sequence begins at position 0, and nothing before it is read.

import { assertInternal } from '../../../base/errors.ts'
import type { Tensor } from '../../../base/tensor.ts'
import type { Value } from '../../ir.ts'
import type { OnnxContext, OnnxEmitter, Operation } from '../../operation.ts'
import {
  asFloats,
  checkDim,
  checkRank,
  createZerosLike,
  getNumberAttribute,
  toIntegers,
} from '../arrays.ts'

/** Largest 64-bit length: a slice to the end. */
const END = Number.MAX_SAFE_INTEGER

function checkTokens(operation: string, x: Value, positions: Value): void {
  checkRank(operation, x, 3)
  checkDim(operation, 'the number of positions', positions.shape[1], x.shape[1])
}

/**
 * Visits each token of [N, T, D] with the index that it reads from; undefined before the sequence's
 * start.
 */
function visitShifted(
  { shape }: Tensor,
  positions: Tensor,
  by: number,
  visit: (from: number, to: number, width: number) => void,
): void {
  const [rows, tokens, width] = shape as [number, number, number]
  const places = toIntegers(positions)
  for (let n = 0; n < rows; n++)
    for (let t = by; t < tokens; t++) {
      const to = n * tokens + t
      if (places[to]! >= by) visit((to - by) * width, to * width, width)
    }
}

/** 1 where a token has `by` tokens of its sequence before it: [N, T, 1]. */
const emitReach = (emit: OnnxEmitter, positions: Value, by: number): string => {
  const least = emit.ints([by])
  const reaches = emit.node('GreaterOrEqual', [positions.name, least])
  const f32 = 1
  return emit.node('Unsqueeze', [
    emit.node('Cast', [reaches], { to: { int: f32 } }),
    emit.ints([2]),
  ])
}

/**
 * Each token gets the value `by` tokens before it in its sequence, or zeros. x: [N, T, D],
 * positions: i64 [N, T].
 */
export const shiftTokens: Operation = {
  name: 'shiftTokens',
  shape([x, positions]) {
    checkTokens('shiftTokens', x!, positions!)
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, positions], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    visitShifted(x!, positions!, getNumberAttribute(attributes, 'by'), (from, to, width) =>
      output.data.set(values.subarray(from, from + width), to),
    )
    return output
  },
  gradient: (g, { inputs: [, positions], attributes, upstream }) => [
    g.op('unshiftTokens', [upstream, positions!], attributes),
    undefined,
  ],
  onnx(emit, { inputs: [x, positions], output, attributes }) {
    const by = getNumberAttribute(attributes, 'by')
    const axis = emit.ints([1])
    const later = emit.node('Pad', [x!.name, emit.ints([by, 0]), emit.float(0), axis])
    const cut = emit.node('Slice', [later, emit.ints([0]), emit.ints([-by]), axis])
    emit.node('Mul', [cut, emitReach(emit, positions!, by)], {}, output.name)
  },
}

/** The gradient of shiftTokens: each token gets the value `by` tokens after it. */
export const unshiftTokens: Operation = {
  name: 'unshiftTokens',
  shape: shiftTokens.shape,
  evaluate([x, positions], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    visitShifted(x!, positions!, getNumberAttribute(attributes, 'by'), (from, to, width) =>
      output.data.set(values.subarray(to, to + width), from),
    )
    return output
  },
  gradient: (g, { inputs: [, positions], attributes, upstream }) => [
    g.op('shiftTokens', [upstream, positions!], attributes),
    undefined,
  ],
  onnx(emit, { inputs: [x, positions], output, attributes }) {
    const by = getNumberAttribute(attributes, 'by')
    const axis = emit.ints([1])
    const reached = emit.node('Mul', [x!.name, emitReach(emit, positions!, by)])
    const longer = emit.node('Pad', [reached, emit.ints([0, by]), emit.float(0), axis])
    emit.node('Slice', [longer, emit.ints([by]), emit.ints([END]), axis], {}, output.name)
  },
}

const getKernel = ({ shape }: Value): number => shape[2] as number

function checkKernel(operation: string, x: Value, weight: Value): void {
  checkRank(operation, x, 3)
  checkRank(operation, weight, 3)
  checkDim(operation, 'the width of the weight', weight.shape[0], x.shape[2])
  checkDim(operation, 'the middle length of the weight', weight.shape[1], 1)
}

/**
 * y_t = Σ_j w_{L−1−j} ⊙ x_{t−j}, over the tokens of t's own sequence. x: [N, T, D], weight: [D, 1,
 * L], positions: i64 [N, T].
 */
export const causalConvolution: Operation = {
  name: 'causalConvolution',
  shape([x, weight, positions]) {
    checkKernel('causalConvolution', x!, weight!)
    checkTokens('causalConvolution', x!, positions!)
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, weight, positions]) {
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    const taps = asFloats(weight!)
    const kernel = weight!.shape[2]!
    for (let by = 0; by < kernel; by++)
      visitShifted(x!, positions!, by, (from, to, width) => {
        for (let i = 0; i < width; i++)
          output.data[to + i]! += taps[i * kernel + kernel - 1 - by]! * values[from + i]!
      })
    return output
  },
  expand(g, [x, weight, positions]) {
    const kernel = getKernel(weight!)
    const terms = Array.from({ length: kernel }, (_, by) => {
      const tap = g.slice(weight!, 2, kernel - 1 - by, kernel - by) // [D, 1, 1]
      const shifted = by === 0 ? x! : g.op('shiftTokens', [x!, positions!], { by })
      return g.multiply(shifted, g.reshape(tap, [x!.shape[2]!]))
    })
    return terms.reduce((sum, term) => g.add(sum, term))
  },
  onnx() {
    assertInternal(false, 'causalConvolution is expanded before it is written')
  },
}

/**
 * The same for T new tokens after a window of the L−1 tokens before them, with zeros before the
 * first token. x: [N, T, D], past: [N, L−1, D], weight: [D, 1, L].
 */
export const cachedConvolution: Operation = {
  name: 'cachedConvolution',
  shape([x, past, weight]) {
    checkKernel('cachedConvolution', x!, weight!)
    checkDim(
      'cachedConvolution',
      'the length of the window',
      past!.shape[1],
      getKernel(weight!) - 1,
    )
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate: ([x, past, weight]) => computeBehind(x!, past!, weight!),
  onnx: emitCachedConvolution,
}

function computeBehind(x: Tensor, past: Tensor, weight: Tensor): Tensor {
  const [rows, tokens, width] = x.shape as [number, number, number]
  const kernel = weight.shape[2]!
  const output = createZerosLike(x, x.shape)
  const [fresh, earlier, taps] = [x, past, weight].map(asFloats) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ]
  for (let at = 0; at < rows * tokens; at++) {
    const row = Math.floor(at / tokens)
    for (let tap = 0; tap < kernel; tap++) {
      const place = (at % tokens) + tap // in [window | new]
      const isEarlier = place < kernel - 1
      const values = isEarlier ? earlier : fresh
      const token = isEarlier ? row * (kernel - 1) + place : row * tokens + place - (kernel - 1)
      for (let i = 0; i < width; i++)
        output.data[at * width + i]! += taps[i * kernel + tap]! * values[token * width + i]!
    }
  }
  return output
}

function emitCachedConvolution(
  emit: OnnxEmitter,
  { inputs: [x, past, weight], output }: OnnxContext,
): void {
  const kernel = getKernel(weight!)
  const axis = emit.ints([1])
  const whole = emit.node('Concat', [past!.name, x!.name], { axis: { int: 1 } }) // [N, L−1+T, D]
  const taps = emit.node('Transpose', [weight!.name], { perm: { ints: [1, 2, 0] } }) // [1, L, D]
  if (x!.shape[1] === 1) {
    const weighed = emit.node('Mul', [whole, taps])
    emit.node('ReduceSum', [weighed, axis], { keepdims: { int: 1 } }, output.name)
    return
  }
  let sum: string | undefined
  for (let tap = 0; tap < kernel; tap++) {
    const isLast = tap === kernel - 1
    const end = emit.ints([isLast ? END : tap + 1 - kernel])
    const tokens = emit.node('Slice', [whole, emit.ints([tap]), end, axis])
    const factor = emit.node('Slice', [taps, emit.ints([tap]), emit.ints([tap + 1]), axis])
    const term = emit.node('Mul', [tokens, factor])
    sum =
      sum === undefined ? term : emit.node('Add', [sum, term], {}, isLast ? output.name : undefined)
  }
}
