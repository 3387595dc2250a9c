// The element types of caches in graphs: 16-bit floats, and vectors of 8-bit codes. Graphs convert
// from and to them, and compute nothing in them.

import type { Tensor } from '../../base/tensor.ts'
import { getF16Values, toF16Bits } from '../../formats/half.ts'
import type { Operation } from '../operation.ts'
import { getLastDim } from '../ir.ts'
import { asFloats, createZerosLike, roundToEven } from './arrays.ts'

const F32 = { to: { int: 1 } } // TensorProto.DataType
const F16 = { to: { int: 10 } }
const LARGEST_F16 = 65_504

/** The same numbers in f32, of an input in f16. */
export const widenHalf: Operation = {
  name: 'widenHalf',
  shape: ([x]) => ({ dtype: 'f32', shape: x!.shape }),
  evaluate: ([x]): Tensor => ({
    dtype: 'f32',
    shape: x!.shape,
    data: Float32Array.from(x!.data as Uint16Array, (bits) => getF16Values()[bits]!),
  }),
  onnx(emit, { inputs: [x], output }) {
    emit.node('Cast', [x!.name], F32, output.name)
  },
}

/** Each number rounded to the nearest that f16 has, at most ±65,504; stays in f32. */
export const roundToHalf: Operation = {
  name: 'roundToHalf',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x]) {
    const output = createZerosLike(x!, x!.shape)
    const values = getF16Values()
    asFloats(x!).forEach((value, i) => {
      const bounded = Math.min(LARGEST_F16, Math.max(-LARGEST_F16, value))
      output.data[i] = values[toF16Bits(bounded)]!
    })
    return output
  },
  onnx(emit, { inputs: [x], output }) {
    const bounded = emit.node('Clip', [x!.name, emit.float(-LARGEST_F16), emit.float(LARGEST_F16)])
    emit.node('Cast', [emit.node('Cast', [bounded], F16)], F32, output.name)
  },
}

/** Bytes of a vector in addition to its codes: mantissa and exponent of its scale. */
export const STEP_BYTES = 2
const MOST_CODE = 127
/** Steps are mantissa/64 · 2^exponent with mantissas from 64 to 127. */
const MANTISSA_UNIT = 64
const LEAST_STEP = 1e-30
const MOST_EXPONENT = 100
const I8 = { to: { int: 3 } }

/** The step of a vector whose largest number has this size, as ONNX Runtime computes it. */
function chooseStep(largest: number): { readonly mantissa: number; readonly exponent: number } {
  const least = Math.max(Math.fround(largest * Math.fround(1 / MOST_CODE)), LEAST_STEP)
  const logarithm = Math.fround(Math.fround(Math.log(least)) * Math.fround(Math.LOG2E))
  const exponent = Math.max(-MOST_EXPONENT, Math.min(MOST_EXPONENT, Math.floor(logarithm)))
  const mantissa = Math.min(MOST_CODE, Math.ceil((least / 2 ** exponent) * MANTISSA_UNIT))
  return { mantissa, exponent }
}

/**
 * Vectors [.., d] as bytes [.., d + 2]: d codes of −127 to 127, and the step that they count, a
 * 127th of the largest number or up to 1.6 % more.
 */
export const packVectors: Operation = {
  name: 'packVectors',
  shape: ([x]) => ({
    dtype: 'i8',
    shape: [...x!.shape.slice(0, -1), (getLastDim(x!) as number) + STEP_BYTES],
  }),
  evaluate([x]): Tensor {
    const width = x!.shape.at(-1)!
    const count = x!.data.length / width
    const data = new Int8Array(count * (width + STEP_BYTES))
    const values = asFloats(x!)
    for (let n = 0; n < count; n++) {
      const vector = values.subarray(n * width, (n + 1) * width)
      let largest = 0
      for (const value of vector) largest = Math.max(largest, Math.abs(value))
      const { mantissa, exponent } = chooseStep(largest)
      const step = (mantissa * 2 ** exponent) / MANTISSA_UNIT
      const start = n * (width + STEP_BYTES)
      vector.forEach((value, i) => {
        const code = roundToEven(Math.fround(value / step))
        data[start + i] = Math.max(-MOST_CODE, Math.min(MOST_CODE, code))
      })
      data[start + width] = mantissa
      data[start + width + 1] = exponent
    }
    return { dtype: 'i8', shape: [...x!.shape.slice(0, -1), width + STEP_BYTES], data }
  },
  onnx(emit, { inputs: [x], output }) {
    const last = emit.ints([x!.shape.length - 1])
    const sizes = emit.node('Abs', [x!.name])
    const largest = emit.node('ReduceMax', [sizes, last], { keepdims: { int: 1 } })
    const part = emit.node('Mul', [largest, emit.float(1 / MOST_CODE)])
    const least = emit.node('Max', [part, emit.float(LEAST_STEP)])
    const logarithm = emit.node('Mul', [emit.node('Log', [least]), emit.float(Math.LOG2E)])
    const exponent = emit.node('Clip', [
      emit.node('Floor', [logarithm]),
      emit.float(-MOST_EXPONENT),
      emit.float(MOST_EXPONENT),
    ])
    const power = emit.node('Pow', [emit.float(2), exponent])
    const share = emit.node('Mul', [emit.node('Div', [least, power]), emit.float(MANTISSA_UNIT)])
    const mantissa = emit.node('Min', [emit.node('Ceil', [share]), emit.float(MOST_CODE)])
    const step = emit.node('Mul', [
      emit.node('Mul', [mantissa, power]),
      emit.float(1 / MANTISSA_UNIT),
    ])
    const rounded = emit.node('Round', [emit.node('Div', [x!.name, step])])
    const codes = emit.node('Clip', [rounded, emit.float(-MOST_CODE), emit.float(MOST_CODE)])
    const whole = emit.node('Concat', [codes, mantissa, exponent], { axis: { int: -1 } })
    emit.node('Cast', [whole], I8, output.name)
  },
}

/** The numbers of such vectors: code · mantissa/64 · 2^exponent. */
export const unpackVectors: Operation = {
  name: 'unpackVectors',
  shape: ([x]) => ({
    dtype: 'f32',
    shape: [...x!.shape.slice(0, -1), (getLastDim(x!) as number) - STEP_BYTES],
  }),
  evaluate([x]): Tensor {
    const width = x!.shape.at(-1)!
    const own = width - STEP_BYTES
    const bytes = x!.data as Int8Array
    const data = new Float32Array((bytes.length / width) * own)
    for (let i = 0; i < data.length; i++) {
      const start = Math.floor(i / own) * width
      const step = (bytes[start + own]! * 2 ** bytes[start + own + 1]!) / MANTISSA_UNIT
      data[i] = bytes[start + (i % own)]! * step
    }
    return { dtype: 'f32', shape: [...x!.shape.slice(0, -1), own], data }
  },
  onnx(emit, { inputs: [x], output }) {
    const own = (getLastDim(x!) as number) - STEP_BYTES
    const axis = emit.ints([x!.shape.length - 1])
    const cut = (start: number, count: number): string => {
      const span = [emit.ints([start]), emit.ints([start + count]), axis]
      return emit.node('Cast', [emit.node('Slice', [x!.name, ...span])], F32)
    }
    const power = emit.node('Pow', [emit.float(2), cut(own + 1, 1)])
    const step = emit.node('Mul', [
      emit.node('Mul', [cut(own, 1), power]),
      emit.float(1 / MANTISSA_UNIT),
    ])
    emit.node('Mul', [cut(0, own), step], {}, output.name)
  },
}
