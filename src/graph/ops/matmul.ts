// Matrix products: a general one, and a linear layer whose weight is [out, in], as in checkpoints.

import { ShapeError } from '../../base/errors.ts'
import { sizeOf } from '../../base/tensor.ts'
import {
  describeShape,
  getLastDim,
  multiplyDims,
  type Attributes,
  type Dim,
  type Value,
} from '../ir.ts'
import type { Operation, Operators } from '../operation.ts'
import { emitProduct, type ProductSide } from './product.ts'
import {
  createZerosLike,
  checkDim,
  checkRank,
  getFlagAttribute,
  asFloats,
  getNumberAttribute,
} from './arrays.ts'

interface Form {
  transA: boolean
  transB: boolean
  alpha: number
}

const readForm = (attributes: Attributes): Form => ({
  transA: getFlagAttribute(attributes, 'transA'),
  transB: getFlagAttribute(attributes, 'transB'),
  alpha: getNumberAttribute(attributes, 'alpha'),
})

/** Rows, inner and columns of op(a)·op(b), from the last two dimensions. */
function computeDims<D extends Dim>(
  a: readonly D[],
  b: readonly D[],
  { transA, transB }: Form,
): { m: D; k: D; kb: D; n: D } {
  const a0 = a[a.length - 2] as D
  const a1 = a[a.length - 1] as D
  const b0 = b[b.length - 2] as D
  const b1 = b[b.length - 1] as D
  return { m: transA ? a1 : a0, k: transA ? a0 : a1, kb: transB ? b1 : b0, n: transB ? b0 : b1 }
}

/** [.., m, k] → [all rows, k]: the products over every leading dimension become one. */
export function flattenRows(g: Operators, x: Value): Value {
  return g.reshape(x, [x.shape.slice(0, -1).reduce<Dim>(multiplyDims, 1), getLastDim(x)])
}

/** y = alpha·op(a)·op(b); b is a matrix, or has a's leading dimensions. */
export const matmul: Operation = {
  name: 'matmul',
  shape([a, b], attributes) {
    const { m, k, kb, n } = computeDims<Dim>(a!.shape, b!.shape, readForm(attributes))
    const where = `matmul ${describeShape(a!.shape)} by ${describeShape(b!.shape)}`
    checkDim(where, 'inner dimension of the right side', kb, k)
    if (
      b!.shape.length > 2 &&
      (b!.shape.length !== a!.shape.length ||
        b!.shape.slice(0, -2).join() !== a!.shape.slice(0, -2).join())
    ) {
      throw new ShapeError(`${where}: leading dimensions differ.`)
    }
    return { dtype: a!.dtype, shape: [...a!.shape.slice(0, -2), m, n] }
  },
  evaluate([a, b], attributes) {
    const form = readForm(attributes)
    const { m, k, n } = computeDims<number>(a!.shape, b!.shape, form)
    const output = createZerosLike(a!, [...a!.shape.slice(0, -2), m, n])
    const x = asFloats(a!)
    const y = asFloats(b!)
    const batches = sizeOf(a!.shape.slice(0, -2))
    const stepB = b!.shape.length > 2 ? k * n : 0
    for (let batch = 0; batch < batches; batch++) {
      for (let row = 0; row < m; row++) {
        for (let column = 0; column < n; column++) {
          let sum = 0
          for (let inner = 0; inner < k; inner++) {
            const left = x[batch * m * k + (form.transA ? inner * m + row : row * k + inner)]!
            sum +=
              left * y[batch * stepB + (form.transB ? column * k + inner : inner * n + column)]!
          }
          output.data[(batch * m + row) * n + column] = form.alpha * sum
        }
      }
    }
    return output
  },
  gradient(g, { inputs, attributes, upstream, needs }) {
    const a = inputs[0]!
    const b = inputs[1]!
    const { transA, transB, alpha } = readForm(attributes)
    const flat = b.shape.length === 2 && a.shape.length > 2
    const left = (): Value =>
      transA
        ? g.matmul(b, upstream, { transA: transB, transB: true, alpha })
        : g.matmul(upstream, b, { transB: !transB, alpha })
    const right = (): Value => {
      if (flat && transA)
        throw new ShapeError(
          'internal: the gradient of a batched transposed left side by one matrix is not needed anywhere.',
        )
      const [rows, arriving] = flat ? [flattenRows(g, a), flattenRows(g, upstream)] : [a, upstream]
      return transB
        ? g.matmul(arriving, rows, { transA: true, transB: transA, alpha })
        : g.matmul(rows, arriving, { transA: !transA, alpha })
    }
    return [needs(0) ? left() : undefined, needs(1) ? right() : undefined]
  },
  onnx: (emit, { inputs, output, attributes }) =>
    void emitProduct(
      emit,
      toSide(inputs[0]!),
      toSide(inputs[1]!),
      readForm(attributes),
      output.name,
    ),
}

const toSide = ({ name, shape }: Value): ProductSide => [name, shape.length]

/**
 * x·Aᵀ of one sequence, computed so that a token's results do not depend on the number of tokens.
 * x: [1, T, in], A: [R, in], chunk: i64 [1], a divisor of R of at most 16 → [1, T, R]; R is at
 * least 1. If there are fewer rows than columns, ONNX Runtime distributes the columns of a product
 * over threads, and its order of summation depends on the number of columns per thread. It never
 * divides 16 columns.
 */
export const chunkedProduct: Operation = {
  name: 'chunkedProduct',
  shape([x, A]) {
    checkRank('chunkedProduct', A!, 2)
    checkDim('chunkedProduct', 'width of the input', getLastDim(x!), A!.shape[1])
    return { dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), A!.shape[0]!] }
  },
  evaluate: ([x, A], _attributes, dims) =>
    matmul.evaluate([x!, A!], { transA: false, transB: true, alpha: 1 }, dims),
  onnx(emit, { inputs: [x, A, chunk], output }) {
    const width = A!.shape[1] as number
    const view = emit.node('Concat', [emit.ints([1, -1]), chunk!.name, emit.ints([width])], {
      axis: { int: 0 },
    })
    const chunks = emit.node('Reshape', [A!.name, view]) // [1, R/c, c, in]
    const sides = [[x!.name, 3] as const, [chunks, 4] as const] as const
    const parts = emitProduct(emit, ...sides, { transB: true }) // [1, R/c, T, c]
    const byToken = emit.node('Transpose', [parts], { perm: { ints: [0, 2, 1, 3] } })
    emit.node('Reshape', [byToken, emit.ints([0, 0, -1])], {}, output.name)
  },
}

/**
 * y = x·Wᵀ + bias. x: [.., in], W: [out, in], bias: [out]. The attribute `module` is the path that
 * adapters target.
 */
export const linear: Operation = {
  name: 'linear',
  shape([x, weight, bias], { module }) {
    checkRank(`linear ${module}`, weight!, 2)
    checkDim(`linear ${module}`, 'width of the input', getLastDim(x!), weight!.shape[1])
    if (bias) checkDim(`linear ${module}`, 'length of the bias', bias.shape[0], weight!.shape[0])
    return { dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), weight!.shape[0]!] }
  },
  evaluate([x, weight, bias], _attributes, dims) {
    const product = matmul.evaluate([x!, weight!], { transA: false, transB: true, alpha: 1 }, dims)
    if (bias) {
      const values = asFloats(product)
      const width = bias.shape[0]!
      const shift = asFloats(bias)
      for (let i = 0; i < values.length; i++) values[i]! += shift[i % width]!
    }
    return product
  },
  gradient(g, { inputs: [x, weight], upstream, needs }) {
    const rows = needs(1) || needs(2) ? flattenRows(g, upstream) : upstream
    return [
      needs(0) ? g.matmul(upstream, weight!) : undefined,
      needs(1) ? g.matmul(rows, flattenRows(g, x!), { transA: true }) : undefined,
      needs(2) ? g.reduceSum(rows, [0]) : undefined,
    ]
  },
  onnx(emit, { inputs: [x, weight, bias], output }) {
    const form = { transB: true }
    const sides = [toSide(x!), toSide(weight!)] as const
    if (!bias) return void emitProduct(emit, ...sides, form, output.name)
    const product = emitProduct(emit, ...sides, form)
    emit.node('Add', [product, bias.name], {}, output.name)
  },
}
