// 16-bit floats in graphs: they are read and rounded to, nothing else is computed in them.

import type { Tensor } from '../../base/tensor.ts'
import { getF16Values, toF16Bits } from '../../formats/half.ts'
import type { Operation } from '../operation.ts'
import { asFloats, createZerosLike } from './arrays.ts'

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
