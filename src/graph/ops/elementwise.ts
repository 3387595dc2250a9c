// Element by element with numpy's broadcasting: add, subtract, multiply, divide, scale.

import type { Value } from '../ir.ts'
import type { GradientContext, Operation, Operators } from '../operation.ts'
import {
  broadcastOffset,
  broadcastShapes,
  eachIndex,
  emptyLike,
  floats,
  numberAttribute,
  stridesOf,
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

function binary(
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
      const output = emptyLike(wider, broadcastShapes(a!.shape, b!.shape, name))
      const x = floats(a!)
      const y = floats(b!)
      const xs = stridesOf(a!.shape)
      const ys = stridesOf(b!.shape)
      eachIndex(output.shape, (index, flat) => {
        output.data[flat] = apply(
          x[broadcastOffset(index, a!.shape, xs)]!,
          y[broadcastOffset(index, b!.shape, ys)]!,
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

export const add = binary(
  'add',
  'Add',
  (x, y) => x + y,
  (_, { upstream }) => [() => upstream, () => upstream],
)

export const subtract = binary(
  'subtract',
  'Sub',
  (x, y) => x - y,
  (g, { upstream }) => [() => upstream, () => g.scale(upstream, -1)],
)

export const multiply = binary(
  'multiply',
  'Mul',
  (x, y) => x * y,
  (g, { inputs: [a, b], upstream }) => [
    () => g.multiply(upstream, b!),
    () => g.multiply(upstream, a!),
  ],
)

// d(a/b)/db = −(a/b)/b
export const divide = binary(
  'divide',
  'Div',
  (x, y) => x / y,
  (g, { inputs: [, b], output, upstream }) => [
    () => g.divide(upstream, b!),
    () => g.scale(g.divide(g.multiply(upstream, output), b!), -1),
  ],
)

/** y = factor·x with a factor known when the graph is made. */
export const scale: Operation = {
  name: 'scale',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x], attributes) {
    const output = emptyLike(x!, x!.shape)
    const factor = numberAttribute(attributes, 'factor')
    floats(x!).forEach((value, i) => (output.data[i] = factor * value))
    return output
  },
  gradient: (g, { upstream, attributes }) => [
    g.scale(upstream, numberAttribute(attributes, 'factor')),
  ],
  onnx(emit, { inputs, output, attributes }) {
    emit.node(
      'Mul',
      [inputs[0]!.name, emit.float(numberAttribute(attributes, 'factor'))],
      {},
      output.name,
    )
  },
}

/** y = x, and no gradient flows back: DoRA's norm is a constant for the gradient. */
export const stopGradient: Operation = {
  name: 'stopGradient',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate: ([x]) => x!,
  gradient: () => [undefined],
  onnx(emit, { inputs, output }) {
    emit.node('Identity', [inputs[0]!.name], {}, output.name)
  },
}
