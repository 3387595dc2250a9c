// Root-mean-square normalisation (Zhang and Sennrich 2019) over the last axis.

import { getLastDim } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import { createZerosLike, checkDim, asFloats, getNumberAttribute } from './arrays.ts'
import { flattenRows } from './matmul.ts'

/** Weight plus offset: Gemma's files store w − 1, so its offset is 1. */
const emitShifted = (emit: OnnxEmitter, weight: string, offset: number): string =>
  offset === 0 ? weight : emit.node('Add', [weight, emit.float(offset)])

/** y = x / √(mean(x²) + ε) ⊙ (w + offset). x: [.., D], w: [D]. */
export const rmsNorm: Operation = {
  name: 'rmsNorm',
  shape([x, weight]) {
    checkDim('rmsNorm', 'length of the weight', weight!.shape[0], getLastDim(x!))
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, weight], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const width = weight!.shape[0]!
    const values = asFloats(x!)
    const scale = asFloats(weight!)
    for (let start = 0; start < values.length; start += width) {
      let square = 0
      for (let i = 0; i < width; i++) square += values[start + i]! ** 2
      const inverse = 1 / Math.sqrt(square / width + getNumberAttribute(attributes, 'epsilon'))
      for (let i = 0; i < width; i++)
        output.data[start + i] =
          values[start + i]! * inverse * (scale[i]! + getNumberAttribute(attributes, 'offset'))
    }
    return output
  },
  gradient(g, { inputs: [x, weight], attributes, upstream, needs }) {
    const weightGradient = () =>
      g.reduceSum(flattenRows(g, g.multiply(upstream, g.op('rmsNormalize', [x!], attributes))), [0])
    return [
      needs(0) ? g.op('rmsNormGradient', [x!, weight!, upstream], attributes) : undefined,
      needs(1) ? weightGradient() : undefined,
    ]
  },
  onnx(emit, { inputs: [x, weight], output, attributes }) {
    const scale = emitShifted(emit, weight!.name, getNumberAttribute(attributes, 'offset'))
    emit.node(
      'SimplifiedLayerNormalization',
      [x!.name, scale],
      { epsilon: { float: getNumberAttribute(attributes, 'epsilon') }, axis: { int: -1 } },
      output.name,
    )
  },
}

const emitInverseRoot = (emit: OnnxEmitter, x: string, epsilon: number): string => {
  const mean = emit.node('ReduceMean', [emit.node('Mul', [x, x]), emit.ints([-1])], {
    keepdims: { int: 1 },
  })
  return emit.node('Reciprocal', [
    emit.node('Sqrt', [emit.node('Add', [mean, emit.float(epsilon)])]),
  ])
}

/** x / √(mean(x²) + ε): rmsNorm without its weight, needed only for the weight's gradient. */
export const rmsNormalize: Operation = {
  name: 'rmsNormalize',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x], attributes, dims) {
    const width = x!.shape[x!.shape.length - 1]!
    const ones = createZerosLike(x!, [width])
    ones.data.fill(1)
    return rmsNorm.evaluate([x!, ones], { ...attributes, offset: 0 }, dims)
  },
  onnx(emit, { inputs: [x], output, attributes }) {
    emit.node(
      'Mul',
      [x!.name, emitInverseRoot(emit, x!.name, getNumberAttribute(attributes, 'epsilon'))],
      {},
      output.name,
    )
  },
}

/** dx = r·(w⊙dy) − x·r³·mean(x⊙w⊙dy), with r = 1/√(mean(x²) + ε). */
export const rmsNormGradient: Operation = {
  name: 'rmsNormGradient',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x, weight, upstream], attributes) {
    const output = createZerosLike(x!, x!.shape)
    const width = weight!.shape[0]!
    const values = asFloats(x!)
    const scale = asFloats(weight!)
    const arriving = asFloats(upstream!)
    const weighted = (start: number, i: number): number =>
      arriving[start + i]! * (scale[i]! + getNumberAttribute(attributes, 'offset'))
    for (let start = 0; start < values.length; start += width) {
      let square = 0
      let dot = 0
      for (let i = 0; i < width; i++) {
        square += values[start + i]! ** 2
        dot += values[start + i]! * weighted(start, i)
      }
      const r = 1 / Math.sqrt(square / width + getNumberAttribute(attributes, 'epsilon'))
      for (let i = 0; i < width; i++)
        output.data[start + i] =
          r * weighted(start, i) - (values[start + i]! * r ** 3 * dot) / width
    }
    return output
  },
  onnx(emit, { inputs: [x, weight, upstream], output, attributes }) {
    const r = emitInverseRoot(emit, x!.name, getNumberAttribute(attributes, 'epsilon'))
    const weighted = emit.node('Mul', [
      upstream!.name,
      emitShifted(emit, weight!.name, getNumberAttribute(attributes, 'offset')),
    ])
    const dot = emit.node('ReduceMean', [emit.node('Mul', [x!.name, weighted]), emit.ints([-1])], {
      keepdims: { int: 1 },
    })
    const pull = emit.node('Mul', [emit.node('Mul', [r, r]), dot])
    emit.node(
      'Mul',
      [emit.node('Sub', [weighted, emit.node('Mul', [x!.name, pull])]), r],
      {},
      output.name,
    )
  },
}
