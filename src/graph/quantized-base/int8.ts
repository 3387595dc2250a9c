// Weights in signed bytes with a scale for each block of a row: 8.5 bits a value in the usual
// blocks of 64.

import { dequantizeInt8, quantizeInt8 } from '../../formats/quants/int8.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { FrozenForm, FrozenShape } from './frozen-form.ts'

const FLOAT = 1 // TensorProto.DataType

/**
 * The largest block size up to 64 that divides a row. Blocks do not cross rows, so that rows can be
 * looked up.
 */
const findBlock = ([, columns]: FrozenShape): number | undefined =>
  Array.from({ length: 49 }, (_, i) => 64 - i).find((block) => columns % block === 0)

export const int8: FrozenForm = {
  name: 'int8',
  fits: (shape) => findBlock(shape) !== undefined,
  parts(shape) {
    const block = findBlock(shape)!
    const count = (shape[0] * shape[1]) / block
    return [
      { name: 'codes', dtype: 'i8', shape: [count, block] },
      { name: 'scales', dtype: 'f32', shape: [count] },
    ]
  },
  quantize(values, shape) {
    const { codes, scales } = quantizeInt8(values, findBlock(shape)!)
    const data = [codes, scales]
    return this.parts(shape).map(({ dtype, shape: dims }, i): Tensor => ({
      dtype,
      shape: dims,
      data: data[i]!,
    }))
  },
  dequantize: ([codes, scales]) =>
    dequantizeInt8({ codes: codes!.data as Int8Array, scales: scales!.data as Float32Array }),
  /**
   * Each block is a separate row for DequantizeLinear: its form with block_size takes three times
   * as long.
   */
  emitWeight(emit, [codes, scales], shape, one) {
    const values = emit.node('DequantizeLinear', [codes!, emit.node('Mul', [scales!, one])], {
      axis: { int: 0 },
    })
    return emit.node('Reshape', [values, emit.ints(shape)])
  },
  /**
   * The blocks of a row are consecutive: their numbers are id·(blocks a row) + 0, 1, 2, …
   */
  emitRows(emit, ids, [codes, scales], shape, output) {
    const block = findBlock(shape)!
    const perRow = shape[1] / block
    const first = emit.node('Unsqueeze', [
      emit.node('Mul', [ids.name, emit.ints([perRow])]),
      emit.ints([-1]),
    ])
    // [.., blocks a row]
    const places = emit.node('Add', [first, emit.ints(Array.from({ length: perRow }, (_, i) => i))])
    const values = emit.node(
      'Cast',
      [emit.node('Gather', [codes!, places], { axis: { int: 0 } })],
      { to: { int: FLOAT } },
    )
    const factors = emit.node('Unsqueeze', [
      emit.node('Gather', [scales!, places], { axis: { int: 0 } }),
      emit.ints([-1]),
    ])
    const dims = [...Array.from({ length: ids.rank }, () => 0), shape[1]]
    emit.node('Reshape', [emit.node('Mul', [values, factors]), emit.ints(dims)], {}, output)
  },
}
