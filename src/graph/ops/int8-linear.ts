// A linear layer in 8 bits: each token's inputs and each output's weights have one scale, so that the
// product is one of integers.

import { ShapeError } from '../../base/errors.ts'
import type { Operation } from '../operation.ts'
import { getLastDim } from '../ir.ts'
import { asFloats, createZerosLike } from './arrays.ts'

const MOST_CODE = 127
/** The code of zero of unsigned inputs, which ONNX Runtime multiplies fastest on x86. */
const ZERO_CODE = 128
/** Of a token whose inputs are all 0. */
const LEAST_SCALE = 1e-30

const roundToEven = (value: number): number => {
  const rounded = Math.round(value)
  return Math.abs(value - Math.trunc(value)) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

/**
 * y = (x⊙factors)·W of a piece of one prompt: x [1, T, in], factors [in], codes i8 [in, out], scales
 * [out], W = codes·scales. The inputs of a token are rounded to 255 steps of its largest one; integers
 * are summed exactly, so a token's numbers do not depend on those beside it.
 */
export const int8Linear: Operation = {
  name: 'int8Linear',
  shape([x, factors, codes]) {
    const width = getLastDim(x!)
    if (width !== getLastDim(factors!) || width !== codes!.shape[0])
      throw new ShapeError(
        `int8Linear: x has ${String(width)} columns, factors ${String(getLastDim(factors!))}, codes ${String(codes!.shape[0])} rows.`,
      )
    return { dtype: 'f32', shape: [...x!.shape.slice(0, -1), codes!.shape[1]!] }
  },
  evaluate([x, factors, codes, scales]) {
    const [inFeatures, outFeatures] = codes!.shape as [number, number]
    const output = createZerosLike(x!, [...x!.shape.slice(0, -1), outFeatures])
    const values = asFloats(x!)
    const columns = asFloats(factors!)
    const steps = asFloats(scales!)
    for (let row = 0; row < values.length / inFeatures; row++) {
      const scaled = Float32Array.from(
        { length: inFeatures },
        (_, i) => values[row * inFeatures + i]! * columns[i]!,
      )
      const largest = scaled.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const step = Math.max(Math.fround(largest * Math.fround(1 / MOST_CODE)), LEAST_SCALE)
      const quantized = scaled.map((value) => roundToEven(Math.fround(value / step)))
      for (let column = 0; column < outFeatures; column++) {
        let sum = 0
        for (let i = 0; i < inFeatures; i++)
          sum += quantized[i]! * (codes!.data as Int8Array)[i * outFeatures + column]!
        output.data[row * outFeatures + column] = sum * steps[column]! * step
      }
    }
    return output
  },
  onnx(emit, { inputs: [x, factors, codes, scales], output }) {
    const scaled = emit.node('Mul', [x!.name, factors!.name])
    const largest = emit.node('ReduceMax', [emit.node('Abs', [scaled]), emit.ints([0, 2])], {
      keepdims: { int: 0 },
    })
    const part = emit.node('Mul', [largest, emit.float(1 / MOST_CODE)])
    const step = emit.node('Max', [part, emit.float(LEAST_SCALE)]) // [T]
    const zero = emit.constant('int8.zero', () => ({
      dtype: 'u8',
      shape: [1],
      data: Uint8Array.of(ZERO_CODE),
    }))
    const zeros = emit.node('Expand', [zero, emit.node('Shape', [step])])
    const quantized = emit.node('QuantizeLinear', [scaled, step, zeros], { axis: { int: 1 } })
    const product = emit.microsoft('MatMulIntegerToFloat', [
      quantized,
      codes!.name,
      emit.float(1),
      scales!.name,
      zero,
    ])
    const steps = emit.node('Unsqueeze', [step, emit.ints([0, 2])]) // [1, T, 1]
    emit.node('Mul', [product, steps], {}, output.name)
  },
}
