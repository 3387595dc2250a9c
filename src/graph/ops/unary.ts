// Functions of one value: activations, and the few others that adapters need. Each names its
// derivative in terms of x and y = f(x).

import type { Value } from '../ir.ts'
import type { OnnxEmitter, Operation, Operators } from '../operation.ts'
import { emitAfter, findSymbolicAxis } from './after.ts'
import { createZerosLike, asFloats } from './arrays.ts'

interface Unary {
  apply(x: number): number
  gradient(g: Operators, x: Value, y: Value, upstream: Value): Value
  onnx(emit: OnnxEmitter, input: string, output: string): void
}

function defineUnary(name: string, rules: Unary): Operation {
  return {
    name,
    shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
    evaluate([x]) {
      const output = createZerosLike(x!, x!.shape)
      asFloats(x!).forEach((value, i) => (output.data[i] = rules.apply(value)))
      return output
    },
    gradient: (g, { inputs, output, upstream }) => [
      rules.gradient(g, inputs[0]!, output, upstream),
    ],
    onnx: (emit, { inputs, output }) => rules.onnx(emit, inputs[0]!.name, output.name),
  }
}

/**
 * The derivative of an activation times the upstream gradient: an operation of (x, upstream),
 * itself without a gradient.
 */
function defineDerivative(
  name: string,
  slope: (x: number) => number,
  onnx: (emit: OnnxEmitter, x: string, upstream: string, output: string) => void,
): Operation {
  return {
    name,
    shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
    evaluate([x, upstream]) {
      const output = createZerosLike(x!, x!.shape)
      const arriving = asFloats(upstream!)
      asFloats(x!).forEach((value, i) => (output.data[i] = arriving[i]! * slope(value)))
      return output
    },
    onnx(emit, { inputs, output }) {
      const [x, upstream] = inputs as [Value, Value]
      // Otherwise the part that depends on x alone would be computed in the forward pass, and kept
      // until upstream is available.
      const axis = findSymbolicAxis(upstream.shape)
      const late = axis < 0 ? x.name : emitAfter(emit, x.name, x.shape.length, upstream.name, axis)
      onnx(emit, late, upstream.name, output.name)
    },
  }
}

const computeSigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** silu(x) = x·σ(x). QuickGelu with alpha 1 is the same function in one pass. */
export const silu = defineUnary('silu', {
  apply: (x) => x * computeSigmoid(x),
  gradient: (g, x, _y, upstream) => g.op('siluGradient', [x, upstream]),
  onnx(emit, input, output) {
    if (emit.has('QuickGelu')) emit.microsoft('QuickGelu', [input], { alpha: { float: 1 } }, output)
    else emit.node('Mul', [input, emit.node('Sigmoid', [input])], {}, output)
  },
})

/** σ(x)·(1 + x·(1 − σ(x))) · upstream */
export const siluGradient = defineDerivative(
  'siluGradient',
  (x) => computeSigmoid(x) * (1 + x * (1 - computeSigmoid(x))),
  (emit, x, upstream, output) => {
    const sigmoid = emit.node('Sigmoid', [x])
    const one = emit.float(1)
    const inner = emit.node('Add', [emit.node('Mul', [x, emit.node('Sub', [one, sigmoid])]), one])
    emit.node('Mul', [emit.node('Mul', [upstream, sigmoid]), inner], {}, output)
  },
)

const GELU_SLOPE = Math.sqrt(2 / Math.PI)
const GELU_CUBE = 0.044715 // Hendrycks and Gimpel 2016, the tanh approximation

/** gelu(x) ≈ x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), Gemma's activation. */
export const geluTanh = defineUnary('geluTanh', {
  apply: (x) => 0.5 * x * (1 + Math.tanh(GELU_SLOPE * (x + GELU_CUBE * x ** 3))),
  gradient: (g, x, _y, upstream) => g.op('geluTanhGradient', [x, upstream]),
  onnx: (emit, input, output) =>
    void emit.node('Gelu', [input], { approximate: { string: 'tanh' } }, output),
})

export const geluTanhGradient = defineDerivative(
  'geluTanhGradient',
  (x) => {
    const t = Math.tanh(GELU_SLOPE * (x + GELU_CUBE * x ** 3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SLOPE * (1 + 3 * GELU_CUBE * x * x)
  },
  (emit, x, upstream, output) => {
    const one = emit.float(1)
    const half = emit.float(0.5)
    const square = emit.node('Mul', [x, x])
    const inner = emit.node('Mul', [
      emit.node('Mul', [x, emit.float(GELU_SLOPE)]),
      emit.node('Add', [emit.node('Mul', [square, emit.float(GELU_CUBE)]), one]),
    ])
    const tanh = emit.node('Tanh', [inner])
    const slope = emit.node('Mul', [
      emit.node('Add', [emit.node('Mul', [square, emit.float(3 * GELU_CUBE)]), one]),
      emit.float(GELU_SLOPE),
    ])
    const sharp = emit.node('Mul', [
      emit.node('Mul', [x, slope]),
      emit.node('Sub', [one, emit.node('Mul', [tanh, tanh])]),
    ])
    const sum = emit.node('Add', [emit.node('Add', [one, tanh]), sharp])
    emit.node('Mul', [emit.node('Mul', [upstream, half]), sum], {}, output)
  },
)

/** The error function: 2/√π·e^(−x²)·Σ 2ⁿ·x^(2n+1)/(2n+1)!!, whose terms all have the same sign. */
function computeErf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > Math.abs(sum) * Number.EPSILON; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

/** gelu(x) = x·Φ(x), by the error function: BERT's activation. */
export const gelu = defineUnary('gelu', {
  apply: (x) => 0.5 * x * (1 + computeErf(x * Math.SQRT1_2)),
  gradient: (g, x, _y, upstream) => g.op('geluGradient', [x, upstream]),
  onnx: (emit, input, output) => void emit.node('Gelu', [input], {}, output),
})

const NORMAL_DENSITY = 1 / Math.sqrt(2 * Math.PI)

/** Φ(x) + x·φ(x) */
export const geluGradient = defineDerivative(
  'geluGradient',
  (x) => 0.5 * (1 + computeErf(x * Math.SQRT1_2)) + x * NORMAL_DENSITY * Math.exp((-x * x) / 2),
  (emit, x, upstream, output) => {
    const erf = emit.node('Erf', [emit.node('Mul', [x, emit.float(Math.SQRT1_2)])])
    const half = emit.float(0.5)
    const share = emit.node('Add', [emit.node('Mul', [erf, half]), half])
    const square = emit.node('Mul', [emit.node('Mul', [x, x]), emit.float(-0.5)])
    const density = emit.node('Mul', [emit.node('Exp', [square]), emit.float(NORMAL_DENSITY)])
    const slope = emit.node('Add', [share, emit.node('Mul', [x, density])])
    emit.node('Mul', [upstream, slope], {}, output)
  },
)

const emitAs =
  (type: string) =>
  (emit: OnnxEmitter, input: string, output: string): void =>
    void emit.node(type, [input], {}, output)

export const tanh = defineUnary('tanh', {
  apply: Math.tanh,
  gradient: (g, _x, y, upstream) => g.subtract(upstream, g.multiply(upstream, g.multiply(y, y))),
  onnx: emitAs('Tanh'),
})

export const sigmoid = defineUnary('sigmoid', {
  apply: computeSigmoid,
  gradient: (g, _x, y, upstream) => g.multiply(upstream, g.subtract(y, g.multiply(y, y))),
  onnx: emitAs('Sigmoid'),
})

export const squareRoot = defineUnary('squareRoot', {
  apply: Math.sqrt,
  gradient: (g, _x, y, upstream) => g.divide(g.scale(upstream, 0.5), y),
  onnx: emitAs('Sqrt'),
})

export const exponential = defineUnary('exponential', {
  apply: Math.exp,
  gradient: (g, _x, y, upstream) => g.multiply(upstream, y),
  onnx: emitAs('Exp'),
})

/** log(1 + exp(x)): a stable −log σ(−x), whose slope is σ(x). */
export const softplus = defineUnary('softplus', {
  apply: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (g, x, _y, upstream) => g.multiply(upstream, g.op('sigmoid', [x])),
  onnx: emitAs('Softplus'),
})
