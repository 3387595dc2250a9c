// Root-mean-square normalisation (Zhang and Sennrich 2019) over the last axis.

import { lastDim } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import { emptyLike, expectDim, floats, numberAttribute } from './arrays.ts'
import { flattenRows } from './matmul.ts'

/** Weight plus offset: Gemma keeps w − 1 in its files, so its offset is 1. */
const shifted = (emit: OnnxEmitter, weight: string, offset: number): string =>
  offset === 0 ? weight : emit.node('Add', [weight, emit.float(offset)])

/** y = x / √(mean(x²) + ε) ⊙ (w + offset). x: [.., D], w: [D]. */
export const rmsNorm: Operation = {
  name: 'rmsNorm',
  shape([x, weight]) {
    expectDim('rmsNorm', 'length of the weight', weight!.shape[0], lastDim(x!))
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, weight], attributes) {
    const output = emptyLike(x!, x!.shape)
    const width = weight!.shape[0]!
    const values = floats(x!)
    const scale = floats(weight!)
    for (let start = 0; start < values.length; start += width) {
      let square = 0
      for (let i = 0; i < width; i++) square += values[start + i]! ** 2
      const inverse = 1 / Math.sqrt(square / width + numberAttribute(attributes, 'epsilon'))
      for (let i = 0; i < width; i++)
        output.data[start + i] =
          values[start + i]! * inverse * (scale[i]! + numberAttribute(attributes, 'offset'))
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
    const scale = shifted(emit, weight!.name, numberAttribute(attributes, 'offset'))
    emit.node(
      'SimplifiedLayerNormalization',
      [x!.name, scale],
      { epsilon: { float: numberAttribute(attributes, 'epsilon') }, axis: { int: -1 } },
      output.name,
    )
  },
}

const inverseRoot = (emit: OnnxEmitter, x: string, epsilon: number): string => {
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
    const ones = emptyLike(x!, [width])
    ones.data.fill(1)
    return rmsNorm.evaluate([x!, ones], { ...attributes, offset: 0 }, dims)
  },
  onnx(emit, { inputs: [x], output, attributes }) {
    emit.node(
      'Mul',
      [x!.name, inverseRoot(emit, x!.name, numberAttribute(attributes, 'epsilon'))],
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
    const output = emptyLike(x!, x!.shape)
    const width = weight!.shape[0]!
    const values = floats(x!)
    const scale = floats(weight!)
    const arriving = floats(upstream!)
    const weighted = (start: number, i: number): number =>
      arriving[start + i]! * (scale[i]! + numberAttribute(attributes, 'offset'))
    for (let start = 0; start < values.length; start += width) {
      let square = 0
      let dot = 0
      for (let i = 0; i < width; i++) {
        square += values[start + i]! ** 2
        dot += values[start + i]! * weighted(start, i)
      }
      const r = 1 / Math.sqrt(square / width + numberAttribute(attributes, 'epsilon'))
      for (let i = 0; i < width; i++)
        output.data[start + i] =
          r * weighted(start, i) - (values[start + i]! * r ** 3 * dot) / width
    }
    return output
  },
  onnx(emit, { inputs: [x, weight, upstream], output, attributes }) {
    const r = inverseRoot(emit, x!.name, numberAttribute(attributes, 'epsilon'))
    const weighted = emit.node('Mul', [
      upstream!.name,
      shifted(emit, weight!.name, numberAttribute(attributes, 'offset')),
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
