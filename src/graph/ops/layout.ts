// Moving elements without changing them: reshape, transpose, slice, pad, concat.

import { assertInternal, ShapeError } from '../../base/errors.ts'
import { sizeOf } from '../../base/tensor.ts'
import { addDims, describeShape, type Dim } from '../ir.ts'
import type { Operation } from '../operation.ts'
import {
  visitIndices,
  createZerosLike,
  asFloats,
  getListAttribute,
  getNumberAttribute,
  computeStrides,
} from './arrays.ts'

const isSymbolic = (dim: Dim): boolean => typeof dim === 'string'

/** Replaces named dimensions by numbers; one that is not bound yet follows from `total`. */
function bindShape(
  shape: readonly Dim[],
  dims: ReadonlyMap<string, number>,
  total: number,
): number[] {
  const bound = shape.map((dim) => (typeof dim === 'number' ? dim : (dims.get(dim) ?? -1)))
  const open = bound.indexOf(-1)
  if (open >= 0)
    bound[open] = total / bound.reduce((product, dim) => (dim === -1 ? product : product * dim), 1)
  if (sizeOf(bound) !== total)
    throw new ShapeError(`reshape: ${total} values do not fill ${describeShape(shape)}.`)
  return bound
}

export const reshape: Operation = {
  name: 'reshape',
  shape: ([x], { shape }) => ({ dtype: x!.dtype, shape: shape as readonly Dim[] }),
  evaluate: ([x], { shape }, dims) => ({
    ...x!,
    shape: bindShape(shape as readonly Dim[], dims, sizeOf(x!.shape)),
  }),
  gradient: (g, { inputs: [x], upstream }) => [g.reshape(upstream, x!.shape)],
  onnx(emit, { inputs: [x], output }) {
    // ONNX: 0 copies the dimension at the same place, −1 is whatever remains.
    const wanted = output.shape.map((dim, i) =>
      isSymbolic(dim) ? (dim === x!.shape[i] ? 0 : -1) : (dim as number),
    )
    const open = wanted.filter((dim) => dim === -1).length
    assertInternal(
      open <= 1,
      `reshape ${describeShape(x!.shape)} to ${describeShape(output.shape)} leaves ${open} dimensions open`,
    )
    emit.node('Reshape', [x!.name, emit.ints(wanted)], {}, output.name)
  },
}

export const transpose: Operation = {
  name: 'transpose',
  shape: ([x], attributes) => ({
    dtype: x!.dtype,
    shape: getListAttribute(attributes, 'order').map((axis) => x!.shape[axis]!),
  }),
  evaluate([x], attributes) {
    const order = getListAttribute(attributes, 'order')
    const strides = computeStrides(x!.shape)
    const output = createZerosLike(
      x!,
      order.map((axis) => x!.shape[axis]!),
    )
    const values = asFloats(x!)
    visitIndices(output.shape, (index, flat) => {
      output.data[flat] =
        values[order.reduce((offset, axis, i) => offset + index[i]! * strides[axis]!, 0)]!
    })
    return output
  },
  gradient(g, { attributes, upstream }) {
    const order = getListAttribute(attributes, 'order')
    return [
      g.transpose(
        upstream,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ]
  },
  onnx(emit, { inputs, output, attributes }) {
    emit.node(
      'Transpose',
      [inputs[0]!.name],
      { perm: { ints: getListAttribute(attributes, 'order') } },
      output.name,
    )
  },
}

/** Elements start … end − 1 of one axis whose length is a number. */
export const slice: Operation = {
  name: 'slice',
  shape([x], attributes) {
    const [axis, start, end] = ['axis', 'start', 'end'].map((name) =>
      getNumberAttribute(attributes, name),
    ) as [number, number, number]
    const length = x!.shape[axis]
    if (typeof length !== 'number' || start < 0 || end > length || start >= end) {
      throw new ShapeError(
        `slice: ${start} to ${end} of axis ${axis} of ${describeShape(x!.shape)}.`,
      )
    }
    return { dtype: x!.dtype, shape: x!.shape.map((dim, i) => (i === axis ? end - start : dim)) }
  },
  evaluate([x], attributes) {
    const [axis, start, end] = ['axis', 'start', 'end'].map((name) =>
      getNumberAttribute(attributes, name),
    ) as [number, number, number]
    const output = createZerosLike(
      x!,
      x!.shape.map((dim, i) => (i === axis ? end - start : dim)),
    )
    const strides = computeStrides(x!.shape)
    const values = asFloats(x!)
    visitIndices(output.shape, (index, flat) => {
      output.data[flat] =
        values[
          index.reduce((offset, at, i) => offset + (i === axis ? at + start : at) * strides[i]!, 0)
        ]!
    })
    return output
  },
  gradient(g, { inputs: [x], attributes, upstream }) {
    const axis = getNumberAttribute(attributes, 'axis')
    const after = (x!.shape[axis] as number) - getNumberAttribute(attributes, 'end')
    return [
      g.op('pad', [upstream], { axis, before: getNumberAttribute(attributes, 'start'), after }),
    ]
  },
  onnx(emit, { inputs, output, attributes }) {
    const [axis, start, end] = ['axis', 'start', 'end'].map((name) =>
      emit.ints([getNumberAttribute(attributes, name)]),
    ) as [string, string, string]
    emit.node('Slice', [inputs[0]!.name, start, end, axis], {}, output.name)
  },
}

/** Zeros before and after on one axis: the gradient of slice. */
export const pad: Operation = {
  name: 'pad',
  shape([x], attributes) {
    const [axis, before, after] = ['axis', 'before', 'after'].map((name) =>
      getNumberAttribute(attributes, name),
    ) as [number, number, number]
    return {
      dtype: x!.dtype,
      shape: x!.shape.map((dim, i) => (i === axis ? addDims(dim, before + after) : dim)),
    }
  },
  evaluate([x], attributes) {
    const [axis, before, after] = ['axis', 'before', 'after'].map((name) =>
      getNumberAttribute(attributes, name),
    ) as [number, number, number]
    const output = createZerosLike(
      x!,
      x!.shape.map((dim, i) => (i === axis ? dim + before + after : dim)),
    )
    const strides = computeStrides(output.shape)
    const values = asFloats(x!)
    visitIndices(x!.shape, (index, flat) => {
      output.data[
        index.reduce((offset, at, i) => offset + (i === axis ? at + before : at) * strides[i]!, 0)
      ] = values[flat]!
    })
    return output
  },
  gradient(g, { inputs: [x], attributes, upstream }) {
    const axis = getNumberAttribute(attributes, 'axis')
    const before = getNumberAttribute(attributes, 'before')
    return [g.slice(upstream, axis, before, before + (x!.shape[axis] as number))]
  },
  onnx(emit, { inputs, output, attributes }) {
    const [axis, before, after] = ['axis', 'before', 'after'].map((name) =>
      getNumberAttribute(attributes, name),
    ) as [number, number, number]
    emit.node(
      'Pad',
      [inputs[0]!.name, emit.ints([before, after]), emit.float(0), emit.ints([axis])],
      {},
      output.name,
    )
  },
}

export const concat: Operation = {
  name: 'concat',
  shape(inputs, attributes) {
    const axis = getNumberAttribute(attributes, 'axis')
    const [first, ...others] = inputs
    for (const other of others) {
      if (other.shape.some((dim, i) => i !== axis && dim !== first!.shape[i])) {
        throw new ShapeError(
          `concat: shapes ${describeShape(first!.shape)} and ${describeShape(other.shape)} differ outside of axis ${axis}.`,
        )
      }
    }
    const length = inputs.map(({ shape }) => shape[axis]!).reduce(addDims)
    return { dtype: first!.dtype, shape: first!.shape.map((dim, i) => (i === axis ? length : dim)) }
  },
  evaluate(inputs, attributes) {
    const axis = getNumberAttribute(attributes, 'axis')
    const length = inputs.reduce((sum, { shape }) => sum + shape[axis]!, 0)
    const output = createZerosLike(
      inputs[0]!,
      inputs[0]!.shape.map((dim, i) => (i === axis ? length : dim)),
    )
    const strides = computeStrides(output.shape)
    let start = 0
    for (const input of inputs) {
      const values = asFloats(input)
      visitIndices(input.shape, (index, flat) => {
        output.data[
          index.reduce((offset, at, i) => offset + (i === axis ? at + start : at) * strides[i]!, 0)
        ] = values[flat]!
      })
      start += input.shape[axis]!
    }
    return output
  },
  gradient(g, { inputs, attributes, upstream }) {
    const axis = getNumberAttribute(attributes, 'axis')
    let start = 0
    return inputs.map(({ shape }) => {
      const end = start + (shape[axis] as number)
      const part = g.slice(upstream, axis, start, end)
      start = end
      return part
    })
  },
  onnx(emit, { inputs, output, attributes }) {
    emit.node(
      'Concat',
      inputs.map(({ name }) => name),
      { axis: { int: getNumberAttribute(attributes, 'axis') } },
      output.name,
    )
  },
}
