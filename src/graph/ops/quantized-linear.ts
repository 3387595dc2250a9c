// Linear layers over codes: in 4- or 8-bit blocks, w = scale·(code − zero) + offset, one scale (and
// offset) per block of the input width; and in 8 bits with one scale for each token's inputs and
// each output's weights, so that the product is one of integers.

import { ShapeError } from '../../base/errors.ts'
import { getLastDim, type Attributes } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import { emitNibbles } from '../quantized-base/nibbles.ts'
import { emitProduct } from './product.ts'
import { asFloats, checkDim, createZerosLike, getNumberAttribute, roundToEven } from './arrays.ts'

/** The code for zero: 8 of 16, 128 of 256, MatMulNBits' default. */
export const computeZeroCode = (bits: number): number => 1 << (bits - 1)

const readBlocks = (attributes: Attributes): readonly [number, number, number, number] =>
  ['bits', 'block', 'outFeatures', 'inFeatures'].map((name) =>
    getNumberAttribute(attributes, name),
  ) as [number, number, number, number]

/** Codes, scales and offsets in the form of the operation's inputs. */
export interface BlockWeight {
  readonly codes: Uint8Array
  readonly scales: Float32Array
  readonly offsets: Float32Array | undefined
}

/** Writes rows of the f32 weight [out, in], from `firstRow` on, until `rows` [n, in] is full. */
export function dequantizeWeight(
  { codes, scales, offsets }: BlockWeight,
  attributes: Attributes,
  rows: Float32Array,
  firstRow = 0,
): void {
  const [bits, block, outputs, inputs] = readBlocks(attributes)
  const blocks = inputs / block
  const zero = computeZeroCode(bits)
  const end = firstRow + rows.length / inputs
  let to = 0
  let from = (firstRow * inputs * bits) / 8
  for (let row = firstRow; row < end; row++)
    for (let at = 0; at < blocks; at++) {
      const scale = scales[row * blocks + at]!
      const offset = offsets ? offsets[at * outputs + row]! : 0
      const next = to + block
      if (bits === 8) while (to < next) rows[to++] = scale * (codes[from++]! - zero) + offset
      else
        for (; to < next; to += 2) {
          const pair = codes[from++]!
          rows[to] = scale * ((pair & 15) - zero) + offset
          rows[to + 1] = scale * ((pair >> 4) - zero) + offset
        }
    }
}

const FLOAT = 1 // TensorProto.DataType

/** The weight [out, in] without its offsets, in plain operators. */
function emitWeight(
  emit: OnnxEmitter,
  [codes, scales]: readonly [string, string],
  attributes: Attributes,
): string {
  const [bits, block, outputs, inputs] = readBlocks(attributes)
  const blocks = inputs / block
  const bytes = bits === 8 ? codes : emitNibbles(emit, codes, 3, 'low first')
  const rows = emit.node('Reshape', [bytes, emit.ints([outputs, blocks, block])])
  const values = emit.node('Cast', [rows], { to: { int: FLOAT } })
  const centred = emit.node('Sub', [values, emit.float(computeZeroCode(bits))])
  const factors = emit.node('Reshape', [scales, emit.ints([outputs, blocks, 1])])
  const scaled = emit.node('Mul', [centred, factors])
  return emit.node('Reshape', [scaled, emit.ints([outputs, inputs])])
}

/**
 * y = x·Wᵀ with W in blocks. Inputs: x [.., in], codes u8 [out, in/block, block·bits/8] (low nibble
 * first), scales [out·in/block], and, where the format has them, offsets [in/block, out]: their
 * share is (sums of x over each block)·offsets, exact.
 */
export const quantizedLinear: Operation = {
  name: 'quantizedLinear',
  shape([x], attributes) {
    checkDim(
      `quantizedLinear ${attributes.module}`,
      'width of the input',
      getLastDim(x!),
      getNumberAttribute(attributes, 'inFeatures'),
    )
    return {
      dtype: 'f32',
      shape: [...x!.shape.slice(0, -1), getNumberAttribute(attributes, 'outFeatures')],
    }
  },
  evaluate([x, codes, scales, offsets], attributes) {
    const outputs = getNumberAttribute(attributes, 'outFeatures')
    const inputs = getNumberAttribute(attributes, 'inFeatures')
    const weight = new Float32Array(outputs * inputs)
    const held = {
      codes: codes!.data as Uint8Array,
      scales: scales!.data as Float32Array,
      offsets: offsets?.data as Float32Array | undefined,
    }
    dequantizeWeight(held, attributes, weight)
    const rows = x!.data.length / inputs
    const output = createZerosLike(x!, [...x!.shape.slice(0, -1), outputs])
    const values = asFloats(x!)
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < outputs; column++) {
        let sum = 0
        for (let i = 0; i < inputs; i++)
          sum += values[row * inputs + i]! * weight[column * inputs + i]!
        output.data[row * outputs + column] = sum
      }
    }
    return output
  },
  onnx(emit, { inputs: [x, codes, scales, offsets], output, attributes }) {
    const block = getNumberAttribute(attributes, 'block')
    const outputs = getNumberAttribute(attributes, 'outFeatures')
    const inputs = getNumberAttribute(attributes, 'inFeatures')
    const form = {
      K: { int: inputs },
      N: { int: outputs },
      bits: { int: getNumberAttribute(attributes, 'bits') },
      block_size: { int: block },
      accuracy_level: { int: getNumberAttribute(attributes, 'accuracy') },
    }
    const end = offsets ? undefined : output.name
    const product = emit.has('MatMulNBits')
      ? emit.microsoft('MatMulNBits', [x!.name, codes!.name, scales!.name], form, end)
      : emitProduct(
          emit,
          [x!.name, x!.shape.length],
          [emitWeight(emit, [codes!.name, scales!.name], attributes), 2],
          { transB: true },
          end,
        )
    if (!offsets) return
    // ONNX Runtime merges the sums of layers that read the same x: they are the same node.
    const blocks = emit.node('Reshape', [
      x!.name,
      emit.ints([...x!.shape.slice(0, -1).map(() => 0), inputs / block, block]),
    ])
    const sums = emit.node('ReduceSum', [blocks, emit.ints([x!.shape.length])], {
      keepdims: { int: 0 },
    })
    emit.node('Add', [product, emit.node('MatMul', [sums, offsets.name])], {}, output.name)
  },
}

function emitIntegerProduct(
  emit: OnnxEmitter,
  [x, codes, scales, zero]: readonly [string, string, string, string],
): string {
  const sums = emit.node('MatMulInteger', [x, codes, zero])
  return emit.node('Mul', [emit.node('Cast', [sums], { to: { int: FLOAT } }), scales])
}

const MOST_CODE = 127
/** The code of zero of unsigned inputs, which ONNX Runtime multiplies fastest on x86. */
const ZERO_CODE = 128
/** The scale of a token whose inputs are all 0. */
const LEAST_SCALE = 1e-30

/**
 * y = (x⊙factors)·W of a piece of one prompt: x [1, T, in], factors [in], codes i8 [in, out],
 * scales [out], W = codes·scales. The inputs of a token are rounded to 8 bits relative to its
 * largest one. Integers are summed exactly, so a token's results do not depend on other tokens.
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
    const product = emit.has('MatMulIntegerToFloat')
      ? emit.microsoft('MatMulIntegerToFloat', [
          ...[quantized, codes!.name],
          ...[emit.float(1), scales!.name, zero],
        ])
      : emitIntegerProduct(emit, [quantized, codes!.name, scales!.name, zero])
    const steps = emit.node('Unsqueeze', [step, emit.ints([0, 2])]) // [1, T, 1]
    emit.node('Mul', [product, steps], {}, output.name)
  },
}
