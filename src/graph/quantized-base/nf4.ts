// Weights in NF4 with double quantisation: 4.127 bits a value. ONNX Runtime's MatMulBnb4 reads the
// codes; the magnitudes are decoded at each use.

import { f32, type Tensor } from '../../base/tensor.ts'
import {
  countAbsmaxBlocks,
  dequantizeNf4,
  computeDynamicMap,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  nf4Levels,
  quantizeNf4,
} from '../../formats/quants/nf4.ts'
import type { OnnxEmitter } from '../operation.ts'
import { emitNibbles } from './nibbles.ts'
import type { FrozenForm, FrozenShape } from './frozen-form.ts'

const INT32 = 6 // TensorProto.DataType
const NF4 = 1 // MatMulBnb4's quant_type
const countBlocks = ([rows, columns]: FrozenShape): number => (rows * columns) / NF4_BLOCK

/** map[code]·scale + offset. */
function emitAbsmax(
  emit: OnnxEmitter,
  [, codes, scales, offset]: readonly string[],
  shape: FrozenShape,
): string {
  const map = emit.constant('%nf4.map', () => f32([256], computeDynamicMap()))
  const looked = emit.node('Gather', [map, emit.node('Cast', [codes!], { to: { int: INT32 } })], {
    axis: { int: 0 },
  }) // [groups, 256]
  const absmax = emit.node('Add', [emit.node('Mul', [looked, scales!]), offset!])
  const flat = emit.node('Reshape', [absmax, emit.ints([-1])])
  const count = countBlocks(shape)
  return count % NF4_ABSMAX_BLOCK === 0
    ? flat
    : emit.node('Slice', [flat, emit.ints([0]), emit.ints([count])])
}

function emitProduct(
  emit: OnnxEmitter,
  a: string,
  parts: readonly string[],
  shape: FrozenShape,
  [N, K]: FrozenShape,
  output?: string,
): string {
  const form = {
    K: { int: K },
    N: { int: N },
    block_size: { int: NF4_BLOCK },
    quant_type: { int: NF4 },
    transB: { int: 1 },
  }
  return emit.microsoft('MatMulBnb4', [a, parts[0]!, emitAbsmax(emit, parts, shape)], form, output)
}

/** The matrix in plain operators: the level of each code times the magnitude of its block. */
function emitLevels(
  emit: OnnxEmitter,
  parts: readonly string[],
  shape: FrozenShape,
  one: string,
): string {
  const levels = emit.constant('%nf4.levels', () => f32([16], nf4Levels))
  const nibbles = emitNibbles(emit, parts[0]!, 1, 'high first') // [values / 2, 2]
  const codes = emit.node('Cast', [nibbles], { to: { int: INT32 } })
  const looked = emit.node('Gather', [levels, codes], { axis: { int: 0 } })
  const blocks = emit.node('Reshape', [looked, emit.ints([-1, NF4_BLOCK])])
  const absmax = emit.node('Mul', [emitAbsmax(emit, parts, shape), one])
  const factors = emit.node('Unsqueeze', [absmax, emit.ints([1])])
  return emit.node('Reshape', [emit.node('Mul', [blocks, factors]), emit.ints(shape)])
}

/** Columns of the matrix that one product with the identity matrix separates. */
const STRANDS = 8

/**
 * dy·W by strands of columns. The identity matrix [8, 8] times the flattened matrix [values / 8, 8]
 * gives W's columns c, c + 8, … concatenated, for c = 0 … 7: the operator's decoder at half of what
 * emitWeight adds to a product (8192 × 2048 by 128 rows, processor ms: 71 against 84; plain f32
 * 55). The sums are the same.
 */
function emitGradient(
  emit: OnnxEmitter,
  upstream: { readonly name: string; readonly one: string },
  parts: readonly string[],
  shape: FrozenShape,
  output: string,
): boolean {
  const [rows, columns] = shape
  if (columns % STRANDS !== 0) return false
  const unit = emit.constant('%nf4.unit', () =>
    f32(
      [STRANDS, STRANDS],
      Float32Array.from({ length: STRANDS ** 2 }, (_, i) => (i % (STRANDS + 1) === 0 ? 1 : 0)),
    ),
  )
  const a = emit.node('Mul', [unit, upstream.one])
  const flat = emitProduct(emit, a, parts, shape, [(rows * columns) / STRANDS, STRANDS])
  const width = columns / STRANDS
  const strands = emit.node('Reshape', [flat, emit.ints([STRANDS, rows, width])])
  const dy = emit.node('Reshape', [upstream.name, emit.ints([-1, rows])])
  const apart = emit.node('MatMul', [dy, strands]) // [8, M, columns / 8]
  const together = emit.node('Transpose', [apart], { perm: { ints: [1, 2, 0] } })
  const outer = emit.node('Shape', [upstream.name], { start: { int: 0 }, end: { int: -1 } })
  const dims = emit.node('Concat', [outer, emit.ints([columns])], { axis: { int: 0 } })
  emit.node('Reshape', [together, dims], {}, output)
  return true
}

export const nf4: FrozenForm = {
  name: 'nf4',
  fits: ([rows, columns]) => (rows * columns) % NF4_BLOCK === 0,
  parts(shape) {
    const groups = countAbsmaxBlocks(countBlocks(shape))
    return [
      { name: 'codes', dtype: 'u8', shape: [(shape[0] * shape[1]) / 2] },
      { name: 'absmaxCodes', dtype: 'u8', shape: [groups, NF4_ABSMAX_BLOCK] },
      { name: 'absmaxScales', dtype: 'f32', shape: [groups, 1] },
      { name: 'absmaxOffset', dtype: 'f32', shape: [1] },
    ]
  },
  quantize(values, shape) {
    const { codes, absmaxCodes, absmaxScales, absmaxOffset } = quantizeNf4(values)
    const data = [codes, absmaxCodes, absmaxScales, Float32Array.of(absmaxOffset)]
    return this.parts(shape).map(({ dtype, shape: dims }, i): Tensor => ({
      dtype,
      shape: dims,
      data: data[i]!,
    }))
  },
  dequantize([codes, absmaxCodes, absmaxScales, absmaxOffset]) {
    return dequantizeNf4({
      codes: codes!.data as Uint8Array,
      absmaxCodes: absmaxCodes!.data as Uint8Array,
      absmaxScales: absmaxScales!.data as Float32Array,
      absmaxOffset: (absmaxOffset!.data as Float32Array)[0]!,
    })
  },
  /**
   * 1·wᵀ over the flattened matrix: the operator's own decoder, then a product with one inner term.
   * More expensive than inside a product (10.0 ms against 9.2 for 512 rows by 1536 × 576, plain f32
   * 8.8), and the way to x·W: with transB=0 the CPU operator multiplies by the transpose all the
   * same, rows taken columns apart (ONNX Runtime 1.30).
   */
  emitWeight(emit, parts, shape, one) {
    if (!emit.has('MatMulBnb4')) return emitLevels(emit, parts, shape, one)
    const a = emit.node('Reshape', [one, emit.ints([1, 1])])
    const flat = emitProduct(emit, a, parts, shape, [shape[0] * shape[1], 1])
    return emit.node('Reshape', [flat, emit.ints(shape)])
  },
  product: {
    operator: 'MatMulBnb4',
    emit: (emit, x, parts, shape, output) => void emitProduct(emit, x, parts, shape, shape, output),
    emitGradient,
  },
}
