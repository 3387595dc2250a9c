// Sums over axes, and softmax over the last axis.

import type { Dim, Value } from '../ir.ts'
import type { Operation, Operators } from '../operation.ts'
import {
  visitIndices,
  createZerosLike,
  getFlagAttribute,
  asFloats,
  getListAttribute,
  computeSoftmaxScale,
  computeStrides,
} from './arrays.ts'

const computeReducedShape = <D extends Dim>(
  shape: readonly D[],
  axes: readonly number[],
  keepDims: boolean,
): (D | 1)[] =>
  shape
    .map((dim, i) => (axes.includes(i) ? 1 : dim))
    .filter((_, i) => keepDims || !axes.includes(i))

/**
 * Repeats a reduced value along the axes that were summed, by broadcasting it against zeros of x.
 */
const stretch = (g: Operators, upstream: Value, x: Value, axes: readonly number[]): Value =>
  g.add(g.reshape(upstream, computeReducedShape(x.shape, axes, true)), g.scale(x, 0))

export const reduceSum: Operation = {
  name: 'reduceSum',
  shape: ([x], attributes) => ({
    dtype: x!.dtype,
    shape: computeReducedShape(
      x!.shape,
      getListAttribute(attributes, 'axes'),
      getFlagAttribute(attributes, 'keepDims'),
    ),
  }),
  evaluate([x], attributes) {
    const axes = getListAttribute(attributes, 'axes')
    const kept = computeReducedShape(x!.shape, axes, true)
    const output = createZerosLike(
      x!,
      computeReducedShape(x!.shape, axes, getFlagAttribute(attributes, 'keepDims')),
    )
    const sums = new Float64Array(output.data.length)
    const strides = computeStrides(kept)
    const values = asFloats(x!)
    visitIndices(x!.shape, (index, flat) => {
      sums[
        index.reduce((offset, at, i) => offset + (axes.includes(i) ? 0 : at * strides[i]!), 0)
      ]! += values[flat]!
    })
    output.data.set(sums)
    return output
  },
  gradient: (g, { inputs: [x], attributes, upstream }) => [
    stretch(g, upstream, x!, getListAttribute(attributes, 'axes')),
  ],
  onnx(emit, { inputs, output, attributes }) {
    const axes = emit.ints(getListAttribute(attributes, 'axes'))
    emit.node(
      'ReduceSum',
      [inputs[0]!.name, axes],
      { keepdims: { int: +getFlagAttribute(attributes, 'keepDims') } },
      output.name,
    )
  },
}

/** p_i = exp(x_i − max x) / Σ exp(x_j − max x) over the last axis. */
export const softmax: Operation = {
  name: 'softmax',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x]) {
    const output = createZerosLike(x!, x!.shape)
    const width = x!.shape[x!.shape.length - 1]!
    const values = asFloats(x!)
    for (let start = 0; start < values.length; start += width) {
      const row = values.subarray(start, start + width)
      const { top, total } = computeSoftmaxScale(row)
      row.forEach((value, i) => (output.data[start + i] = Math.exp(value - top) / total))
    }
    return output
  },
  gradient: (g, { output, upstream }) => [g.op('softmaxGradient', [output, upstream])],
  onnx(emit, { inputs, output }) {
    emit.node('Softmax', [inputs[0]!.name], { axis: { int: -1 } }, output.name)
  },
}

/** dx = p ⊙ (dy − Σ p·dy) over the last axis, from p = softmax(x). */
export const softmaxGradient: Operation = {
  name: 'softmaxGradient',
  shape: ([p]) => ({ dtype: p!.dtype, shape: p!.shape }),
  evaluate([p, upstream]) {
    const output = createZerosLike(p!, p!.shape)
    const width = p!.shape[p!.shape.length - 1]!
    const share = asFloats(p!)
    const arriving = asFloats(upstream!)
    for (let start = 0; start < share.length; start += width) {
      let dot = 0
      for (let i = start; i < start + width; i++) dot += share[i]! * arriving[i]!
      for (let i = start; i < start + width; i++) output.data[i] = share[i]! * (arriving[i]! - dot)
    }
    return output
  },
  onnx(emit, { inputs: [p, upstream], output }) {
    const weighted = emit.node('Mul', [p!.name, upstream!.name])
    const dot = emit.node('ReduceSum', [weighted, emit.ints([-1])], { keepdims: { int: 1 } })
    emit.node('Sub', [weighted, emit.node('Mul', [p!.name, dot])], {}, output.name)
  },
}
