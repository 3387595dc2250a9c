// Layers over base weights that stay quantised in training. The input has a gradient; the weight
// has none.

import { sizeOf, type Tensor } from '../../base/tensor.ts'
import type { FrozenShape } from '../quantized-base/frozen-form.ts'
import { getFrozenForm } from '../quantized-base/frozen-form-table.ts'
import { getLastDim, type Attributes, type Value } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import { createZerosLike, checkDim, toIntegers, getListAttribute } from './arrays.ts'
import { matmul } from './matmul.ts'
import { emitProduct } from './product.ts'

// Attributes of all four: `form`, a name in the table of forms, and `weight`, the shape [rows,
// columns] that the parts stand for.
const getForm = (attributes: Attributes) => getFrozenForm(String(attributes['form']))
const shapeOf = (attributes: Attributes): FrozenShape =>
  getListAttribute(attributes, 'weight') as unknown as FrozenShape
const listNames = (values: readonly Value[]): string[] => values.map(({ name }) => name)

/** The weight in f32, for the reference. */
const dequantizeWeight = (parts: readonly Tensor[], attributes: Attributes): Tensor => {
  const shape = shapeOf(attributes)
  return { dtype: 'f32', shape, data: getForm(attributes).dequantize(parts, shape) }
}

/**
 * A [1] tensor of 1 that depends on x. The weight is dequantised with it, so that weights are
 * neither all dequantised at the start of a program, nor kept from the forward pass for the
 * backward pass.
 */
function emitOneAfter(emit: OnnxEmitter, x: string): string {
  const rows = emit.node('Shape', [x], { start: { int: 0 }, end: { int: 1 } })
  return emit.node('Expand', [
    emit.constant('%one', () => one),
    emit.node('Min', [rows, emit.ints([1])]),
  ])
}
const one: Tensor = { dtype: 'f32', shape: [1], data: Float32Array.of(1) }

/** y = x·Wᵀ. Inputs: x [.., columns] and the weight's parts. */
export const frozenLinear: Operation = {
  name: 'frozenLinear',
  shape([x], attributes) {
    const [rows, columns] = shapeOf(attributes)
    checkDim(`frozenLinear ${attributes.module}`, 'width of the input', getLastDim(x!), columns)
    return { dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), rows] }
  },
  evaluate: ([x, ...parts], attributes, dims) =>
    matmul.evaluate(
      [x!, dequantizeWeight(parts, attributes)],
      { transA: false, transB: true, alpha: 1 },
      dims,
    ),
  gradient: (g, { inputs: [, ...parts], attributes: { form, weight }, upstream, needs }) => [
    needs(0)
      ? g.op('frozenLinearGradient', [upstream, ...parts], { form: form!, weight: weight! })
      : undefined,
  ],
  onnx(emit, { inputs: [x, ...parts], output, attributes }) {
    const form = getForm(attributes)
    const shape = shapeOf(attributes)
    if (form.product && emit.has(form.product.operator))
      return form.product.emit(emit, x!.name, listNames(parts), shape, output.name)
    const weight = form.emitWeight(emit, listNames(parts), shape, emitOneAfter(emit, x!.name))
    emitProduct(emit, [x!.name, x!.shape.length], [weight, 2], { transB: true }, output.name)
  },
}

/** dx = dy·W. Inputs: dy [.., rows] and the weight's parts. */
export const frozenLinearGradient: Operation = {
  name: 'frozenLinearGradient',
  shape([upstream], attributes) {
    const [rows, columns] = shapeOf(attributes)
    checkDim('frozenLinearGradient', 'width of the gradient', getLastDim(upstream!), rows)
    return { dtype: upstream!.dtype, shape: [...upstream!.shape.slice(0, -1), columns] }
  },
  evaluate: ([upstream, ...parts], attributes, dims) =>
    matmul.evaluate(
      [upstream!, dequantizeWeight(parts, attributes)],
      { transA: false, transB: false, alpha: 1 },
      dims,
    ),
  onnx(emit, { inputs: [upstream, ...parts], output, attributes }) {
    const { emitWeight, product } = getForm(attributes)
    const shape = shapeOf(attributes)
    const names = listNames(parts)
    const dy = { name: upstream!.name, one: emitOneAfter(emit, upstream!.name) }
    const isWritten =
      product && emit.has(product.operator)
        ? product.emitGradient(emit, dy, names, shape, output.name)
        : false
    if (isWritten) return
    emit.node('MatMul', [dy.name, emitWeight(emit, names, shape, dy.one)], {}, output.name)
  },
}

/** Rows of a table. Inputs: ids i64 [..] and the table's parts; gives [.., columns]. */
export const frozenEmbedding: Operation = {
  name: 'frozenEmbedding',
  shape: ([ids], attributes) => ({ dtype: 'f32', shape: [...ids!.shape, shapeOf(attributes)[1]] }),
  evaluate([ids, ...parts], attributes) {
    const table = dequantizeWeight(parts, attributes)
    const width = table.shape[1]!
    const rows = table.data as Float32Array
    const output = createZerosLike(table, [...ids!.shape, width])
    toIntegers(ids!).forEach((id, i) =>
      output.data.set(rows.subarray(id * width, (id + 1) * width), i * width),
    )
    return output
  },
  onnx(emit, { inputs: [ids, ...parts], output, attributes }) {
    const form = getForm(attributes)
    const shape = shapeOf(attributes)
    if (form.emitRows)
      return form.emitRows(
        emit,
        { name: ids!.name, rank: ids!.shape.length },
        listNames(parts),
        shape,
        output.name,
      )
    const table = form.emitWeight(emit, listNames(parts), shape, emitOneAfter(emit, ids!.name))
    emit.node('Gather', [table, ids!.name], { axis: { int: 0 } }, output.name)
  },
}

/**
 * The weight in f32, [rows, columns], for code that needs the whole matrix: DoRA's norms. Inputs:
 * its parts.
 */
export const frozenWeight: Operation = {
  name: 'frozenWeight',
  shape: (_, attributes) => ({ dtype: 'f32', shape: shapeOf(attributes) }),
  evaluate(parts, attributes) {
    const weight = dequantizeWeight(parts, attributes)
    return { ...weight, data: (weight.data as Float32Array).slice(0, sizeOf(weight.shape)) }
  },
  onnx(emit, { inputs, output, attributes }) {
    const ones = emit.constant('%one', () => one)
    emit.node(
      'Identity',
      [getForm(attributes).emitWeight(emit, listNames(inputs), shapeOf(attributes), ones)],
      {},
      output.name,
    )
  },
}
