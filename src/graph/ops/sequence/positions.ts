// Functions of positions, which have no gradient.

import type { Operation } from '../../operation.ts'
import { getNumberAttribute, toIntegers } from '../arrays.ts'
import { f32 } from '../../../base/tensor.ts'

/** 1 + β·ln(1 + ⌊position / original⌋): i64 [N, T] → [N, T, 1]. */
export const positionGrowth: Operation = {
  name: 'positionGrowth',
  shape: ([positions]) => ({ dtype: 'f32', shape: [...positions!.shape, 1] }),
  evaluate([positions], attributes) {
    const beta = getNumberAttribute(attributes, 'beta')
    const original = getNumberAttribute(attributes, 'original')
    return f32(
      [...positions!.shape, 1],
      toIntegers(positions!).map((at) => 1 + beta * Math.log(1 + Math.floor(at / original))),
    )
  },
  onnx(emit, { inputs: [positions], output, attributes }) {
    const beta = getNumberAttribute(attributes, 'beta')
    const original = getNumberAttribute(attributes, 'original')
    const whole = emit.node('Div', [positions!.name, emit.ints([original])])
    const number = emit.node('Cast', [whole], { to: { int: 1 } })
    const grown = emit.node('Log', [emit.node('Add', [number, emit.float(1)])])
    const factor = emit.node('Add', [emit.node('Mul', [grown, emit.float(beta)]), emit.float(1)])
    emit.node('Unsqueeze', [factor, emit.ints([2])], {}, output.name)
  },
}
