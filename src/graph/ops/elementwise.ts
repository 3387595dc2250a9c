// Element by element with numpy's broadcasting: add, subtract, multiply, divide, scale.

import type { Value } from '../ir.ts'
import type { GradientContext, Operation, Operators } from '../operation.ts'
import {
  computeBroadcastOffset,
  broadcastShapes,
  visitIndices,
  createZerosLike,
  asFloats,
  getNumberAttribute,
  computeStrides,
} from './arrays.ts'

/** Sums a gradient down to the shape an operand had before it was broadcast. */
export function sumToShape(g: Operators, gradient: Value, target: Value): Value {
  const extra = gradient.shape.length - target.shape.length
  const leading = Array.from({ length: extra }, (_, i) => i)
  const summed = leading.length > 0 ? g.reduceSum(gradient, leading) : gradient
  const stretched = target.shape.flatMap((dim, i) =>
    dim === 1 && summed.shape[i] !== 1 ? [i] : [],
  )
  return stretched.length > 0 ? g.reduceSum(summed, stretched, true) : summed
}

type PairGradient = (g: Operators, context: GradientContext) => [() => Value, () => Value]

function defineBinary(
  name: string,
  onnxType: string,
  apply: (x: number, y: number) => number,
  gradients: PairGradient,
): Operation {
  return {
    name,
    shape: ([a, b]) => ({ dtype: a!.dtype, shape: broadcastShapes(a!.shape, b!.shape, name) }),
    evaluate([a, b]) {
      const wider = b!.dtype === 'f64' ? b! : a! // a gradient's seed is f32 even where everything else is f64
      const output = createZerosLike(wider, broadcastShapes(a!.shape, b!.shape, name))
      const x = asFloats(a!)
      const y = asFloats(b!)
      const xs = computeStrides(a!.shape)
      const ys = computeStrides(b!.shape)
      visitIndices(output.shape, (index, flat) => {
        output.data[flat] = apply(
          x[computeBroadcastOffset(index, a!.shape, xs)]!,
          y[computeBroadcastOffset(index, b!.shape, ys)]!,
        )
      })
      return output
    },
    gradient(g, context) {
      return gradients(g, context).map((make, i) =>
        context.needs(i) ? sumToShape(g, make(), context.inputs[i]!) : undefined,
      )
    },
    onnx(emit, { inputs, output }) {
      emit.node(onnxType, [inputs[0]!.name, inputs[1]!.name], {}, output.name)
    },
  }
}

export const add = defineBinary(
  'add',
  'Add',
  (x, y) => x + y,
  (_, { upstream }) => [() => upstream, () => upstream],
)

export const subtract = defineBinary(
  'subtract',
  'Sub',
  (x, y) => x - y,
  (g, { upstream }) => [() => upstream, () => g.scale(upstream, -1)],
)

export const multiply = defineBinary(
  'multiply',
  'Mul',
  (x, y) => x * y,
  (g, { inputs: [a, b], upstream }) => [
    () => g.multiply(upstream, b!),
    () => g.multiply(upstream, a!),
  ],
)

// d(a/b)/db = −(a/b)/b
export const divide = defineBinary(
  'divide',
  'Div',
  (x, y) => x / y,
  (g, { inputs: [, b], output, upstream }) => [
    () => g.divide(upstream, b!),
    () => g.scale(g.divide(g.multiply(upstream, output), b!), -1),
  ],
)

/** y = factor·x with a constant factor. */
export const scale: Operation = {
  name: 'scale',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const factor = getNumberAttribute(attributes, 'factor')
    asFloats(x!).forEach((value, i) => (output.data[i] = factor * value))
    return output
  },
  gradient: (g, { upstream, attributes }) => [
    g.scale(upstream, getNumberAttribute(attributes, 'factor')),
  ],
  onnx(emit, { inputs, output, attributes }) {
    emit.node(
      'Mul',
      [inputs[0]!.name, emit.float(getNumberAttribute(attributes, 'factor'))],
      {},
      output.name,
    )
  },
}

/** y = x, without a gradient: DoRA's norm is a constant for the gradient. */
export const stopGradient: Operation = {
  name: 'stopGradient',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate: ([x]) => x!,
  gradient: () => [undefined],
  onnx(emit, { inputs, output }) {
    emit.node('Identity', [inputs[0]!.name], {}, output.name)
  },
}
