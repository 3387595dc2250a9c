// Operations on a token axis that is split into chunks of equal length: splitting, joining, summing
// and selecting.

import { ShapeError } from '../../../base/errors.ts'
import { divideDims, type Value } from '../../ir.ts'
import type { OnnxEmitter, Operation } from '../../operation.ts'
import {
  asFloats,
  checkRank,
  createZerosLike,
  getFlagAttribute,
  getNumberAttribute,
  toIntegers,
} from '../arrays.ts'

/** Largest 64-bit length: a slice to the end. */
const END = Number.MAX_SAFE_INTEGER

/** [N, H, T, d] → [N, H, ⌈T/L⌉, L, d] by name; zeros fill the last chunk. */
export function emitChunks(emit: OnnxEmitter, x: string, length: number, width: number): string {
  const axis = emit.ints([2])
  const longer = emit.node('Pad', [x, emit.ints([0, length - 1]), emit.float(0), axis])
  const count = emit.node('Shape', [longer], { start: { int: 2 }, end: { int: 3 } })
  const rest = emit.node('Mod', [count, emit.ints([length])])
  const whole = emit.node('Sub', [count, rest])
  const cut = emit.node('Slice', [longer, emit.ints([0]), whole, axis])
  return emit.node('Reshape', [cut, emit.ints([0, 0, -1, length, width])])
}

/** [N, H, T, d] → [N, H, ⌈T/L⌉, L, d]; zeros fill the last chunk. */
export const splitChunks: Operation = {
  name: 'splitChunks',
  shape([x], attributes) {
    checkRank('splitChunks', x!, 4)
    const length = getNumberAttribute(attributes, 'length')
    const [rows, heads, tokens, width] = x!.shape
    const shape = [rows!, heads!, divideDims(tokens!, length), length, width!]
    return { dtype: x!.dtype, shape }
  },
  evaluate([x], attributes) {
    const length = getNumberAttribute(attributes, 'length')
    const [rows, heads, tokens, width] = x!.shape as [number, number, number, number]
    const chunks = Math.ceil(tokens / length)
    const output = createZerosLike(x!, [rows, heads, chunks, length, width])
    const values = asFloats(x!)
    for (let row = 0; row < rows * heads; row++)
      output.data.set(
        values.subarray(row * tokens * width, (row + 1) * tokens * width),
        row * chunks * length * width,
      )
    return output
  },
  gradient: (g, { inputs: [x], upstream }) => [g.op('joinChunks', [upstream, x!])],
  onnx(emit, { inputs: [x], output, attributes }) {
    const width = x!.shape[3]
    if (typeof width !== 'number') throw new ShapeError(`splitChunks: the width ${width} is open.`)
    const chunks = emitChunks(emit, x!.name, getNumberAttribute(attributes, 'length'), width)
    emit.node('Identity', [chunks], {}, output.name)
  },
}

/** [N, H, C, L, d] → [N, H, T, d] with the T of `like` [N, H, T, …]. */
export const joinChunks: Operation = {
  name: 'joinChunks',
  shape([x, like]) {
    checkRank('joinChunks', x!, 5)
    const [rows, heads, , , width] = x!.shape
    return { dtype: x!.dtype, shape: [rows!, heads!, like!.shape[2]!, width!] }
  },
  evaluate([x, like]) {
    const [rows, heads, chunks, length, width] = x!.shape as [
      number,
      number,
      number,
      number,
      number,
    ]
    const tokens = like!.shape[2]!
    const output = createZerosLike(x!, [rows, heads, tokens, width])
    const values = asFloats(x!)
    const stride = chunks * length * width
    for (let row = 0; row < rows * heads; row++)
      output.data.set(
        values.subarray(row * stride, row * stride + tokens * width),
        row * tokens * width,
      )
    return output
  },
  gradient: (g, { inputs: [x], upstream }) => [
    g.op('splitChunks', [upstream], { length: x!.shape[3] as number }),
    undefined,
  ],
  onnx(emit, { inputs: [x, like], output }) {
    const whole = emit.node('Reshape', [x!.name, emit.ints([0, 0, -1, x!.shape[4] as number])])
    const tokens = emit.node('Shape', [like!.name], { start: { int: 2 }, end: { int: 3 } })
    emit.node('Slice', [whole, emit.ints([0]), tokens, emit.ints([2])], {}, output.name)
  },
}

/** How many sequences begin in a chunk up to each token: i64 [N, T] → [N, 1, ⌈T/L⌉, L]. */
export const countStarts: Operation = {
  name: 'countStarts',
  shape([positions], attributes) {
    const length = getNumberAttribute(attributes, 'length')
    const [rows, tokens] = positions!.shape
    return { dtype: 'f32', shape: [rows!, 1, divideDims(tokens!, length), length] }
  },
  evaluate([positions], attributes) {
    const length = getNumberAttribute(attributes, 'length')
    const [rows, tokens] = positions!.shape as [number, number]
    const chunks = Math.ceil(tokens / length)
    const data = new Float32Array(rows * chunks * length)
    const places = toIntegers(positions!)
    for (let n = 0; n < rows; n++)
      for (let t = 0; t < chunks * length; t++) {
        const before = t % length === 0 ? 0 : data[n * chunks * length + t - 1]!
        const begins = t < tokens && places[n * tokens + t] === 0
        data[n * chunks * length + t] = before + (begins ? 1 : 0)
      }
    return { dtype: 'f32', shape: [rows, 1, chunks, length], data }
  },
  onnx(emit, { inputs: [positions], output, attributes }) {
    const length = getNumberAttribute(attributes, 'length')
    const begins = emit.node('Equal', [positions!.name, emit.ints([0])])
    const marks = emit.node('Unsqueeze', [
      emit.node('Cast', [begins], { to: { int: 1 } }),
      emit.ints([1, 3]),
    ])
    const chunks = emit.node('Squeeze', [emitChunks(emit, marks, length, 1), emit.ints([4])])
    emit.node('CumSum', [chunks, emit.ints([3])], {}, output.name)
  },
}

/** Σ of x up to each index of the last axis; `reverse`: from each index on. */
export const cumulativeSum: Operation = {
  name: 'cumulativeSum',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    const length = x!.shape.at(-1)!
    const isReversed = getFlagAttribute(attributes, 'reverse')
    for (let start = 0; start < values.length; start += length) {
      let sum = 0
      for (let i = 0; i < length; i++) {
        const at = start + (isReversed ? length - 1 - i : i)
        output.data[at] = sum += values[at]!
      }
    }
    return output
  },
  gradient: (g, { attributes, upstream }) => [
    g.op('cumulativeSum', [upstream], { reverse: !getFlagAttribute(attributes, 'reverse') }),
  ],
  onnx(emit, { inputs: [x], output, attributes }) {
    const reverse = getFlagAttribute(attributes, 'reverse') ? 1 : 0
    const axis = emit.ints([x!.shape.length - 1])
    emit.node('CumSum', [x!.name, axis], { reverse: { int: reverse } }, output.name)
  },
}

/** The last entry of axis 2, which is removed: [N, H, C, …] → [N, H, …]. */
export const takeLast: Operation = {
  name: 'takeLast',
  shape: ([x]) => ({ dtype: x!.dtype, shape: withoutChunks(x!) }),
  evaluate([x]) {
    const [rows, heads, chunks] = x!.shape as [number, number, number]
    const size = x!.shape.slice(3).reduce((product, dim) => product * dim, 1)
    const output = createZerosLike(x!, [rows, heads, ...x!.shape.slice(3)])
    const values = asFloats(x!)
    for (let row = 0; row < rows * heads; row++) {
      const from = ((row + 1) * chunks - 1) * size
      output.data.set(values.subarray(from, from + size), row * size)
    }
    return output
  },
  onnx(emit, { inputs: [x], output }) {
    const axis = emit.ints([2])
    const last = emit.node('Slice', [x!.name, emit.ints([-1]), emit.ints([END]), axis])
    emit.node('Squeeze', [last, axis], {}, output.name)
  },
}

const withoutChunks = ({ shape }: Value) => [...shape.slice(0, 2), ...shape.slice(3)]
