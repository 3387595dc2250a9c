// Products with the low-rank factors of adapters on layers that share one product: B of each part
// is multiplied only with A·x of its own part. The outputs are cut into U units of equal width;
// `owners` names the part of each unit.

import type { Tensor } from '../../base/tensor.ts'
import type { Dim } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import { emitProduct } from './product.ts'
import { asFloats, checkRank, createZerosLike, getListAttribute, toIntegers } from './arrays.ts'

const isIdentity = (owners: readonly number[]): boolean => owners.every((part, u) => part === u)

const countParts = (owners: readonly number[]): number => Math.max(...owners) + 1

const computeWidth = (unit: Dim, units: number): number => (unit as number) * units

/** low [.., P, .., R] as one entry for each unit, along axis 1. */
const emitSpread = (emit: OnnxEmitter, low: string, owners: readonly number[]): string =>
  isIdentity(owners) ? low : emit.node('Gather', [low, emit.ints(owners)], { axis: { int: 1 } })

/** x·Mᵀ, x of rank 4. */
const emitRows = (emit: OnnxEmitter, x: string, matrix: string, rank: number): string =>
  emitProduct(emit, [x, 4], [matrix, rank], { transB: true })

/** out[to + j] = Σ low[from + r]·B[start + j·R + r] */
function multiplyUnit(
  out: Tensor,
  to: number,
  { low, from, factor }: { low: ArrayLike<number>; from: number; factor: number },
  B: Tensor,
  start: number,
): void {
  const [width, rank] = B.shape.slice(-2) as [number, number]
  const values = asFloats(B)
  for (let j = 0; j < width; j++) {
    let sum = 0
    for (let r = 0; r < rank; r++) sum += low[from + r]! * values[start + j * rank + r]!
    ;(out.data as Float32Array)[to + j] = factor * sum
  }
}

/**
 * B·low of one token of each row: low [N, 1, P·R], B [U, unit, R] → [N, 1, U·unit]. Every row reads
 * each unit directly, without transposing the result.
 */
export const partsProduct: Operation = {
  name: 'partsProduct',
  shape([low, B]) {
    checkRank('partsProduct', low!, 3)
    checkRank('partsProduct', B!, 3)
    const width = computeWidth(B!.shape[1]!, B!.shape[0] as number)
    return { dtype: low!.dtype, shape: [low!.shape[0]!, low!.shape[1]!, width] }
  },
  evaluate([low, B], attributes) {
    const owners = getListAttribute(attributes, 'owners')
    const [units, unit, rank] = B!.shape as [number, number, number]
    const [rows, tokens] = low!.shape as [number, number]
    const out = createZerosLike(low!, [rows, tokens, units * unit])
    const parts = countParts(owners)
    for (let row = 0; row < rows * tokens; row++)
      owners.forEach((part, u) => {
        const own = { low: asFloats(low!), from: (row * parts + part) * rank, factor: 1 }
        multiplyUnit(out, (row * units + u) * unit, own, B!, u * unit * rank)
      })
    return out
  },
  onnx(emit, { inputs: [low, B], output, attributes }) {
    const owners = getListAttribute(attributes, 'owners')
    const byPart = emit.node('Reshape', [low!.name, emit.ints([0, countParts(owners), 1, -1])])
    const product = emitRows(emit, emitSpread(emit, byPart, owners), B!.name, 3) // [N, U, 1, unit]
    const width = output.shape.at(-1) as number
    emit.node('Reshape', [product, emit.ints([0, 1, width])], {}, output.name)
  },
}

/**
 * B·A·x of each row's own adapter, one product for each adapter: x [N, 1, in], A [G, P, R, in], B
 * [G, U, unit, R]. rows i64 [G, 1, M, 2] = (row, 0) of each place, gain [G, 1, M, 1] a factor of
 * A·x there, back i64 [N, 1, U, 3] = (adapter, unit, place) that each row reads; [N, 1, 3] where U
 * is 1. → [N, 1, U·unit].
 */
export const groupedProduct: Operation = {
  name: 'groupedProduct',
  shape([x, A, B]) {
    checkRank('groupedProduct', A!, 4)
    checkRank('groupedProduct', B!, 4)
    const width = computeWidth(B!.shape[2]!, B!.shape[1] as number)
    return { dtype: x!.dtype, shape: [x!.shape[0]!, x!.shape[1]!, width] }
  },
  evaluate([x, A, B, rows, gain, back], attributes) {
    const owners = getListAttribute(attributes, 'owners')
    const [, parts, rank, width] = A!.shape as [number, number, number, number]
    const [, units, unit] = B!.shape as [number, number, number]
    const [count] = x!.shape as [number]
    const members = rows!.shape[2]!
    const out = createZerosLike(x!, [count, 1, units * unit])
    const [inputs, matrix, gains] = [x!, A!, gain!].map((tensor) => asFloats(tensor))
    const places = toIntegers(rows!)
    const picks = toIntegers(back!)
    for (let at = 0; at < count * units; at++) {
      const [group, u, member] = picks.slice(3 * at, 3 * at + 3) as [number, number, number]
      const place = group * members + member
      const row = places[2 * place]!
      const part = owners[u]!
      const low = Array.from({ length: rank }, (_, r) => {
        const start = ((group * parts + part) * rank + r) * width
        let sum = 0
        for (let i = 0; i < width; i++) sum += inputs![row * width + i]! * matrix![start + i]!
        return sum
      })
      const own = { low, from: 0, factor: gains![place]! }
      multiplyUnit(out, at * unit, own, B!, (group * units + u) * unit * rank)
    }
    return out
  },
  onnx(emit, { inputs, output, attributes }) {
    const [x, A, B, rows, gain, back] = inputs.map(({ name }) => name) as [
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const owners = getListAttribute(attributes, 'owners')
    const low = emitRows(emit, emit.node('GatherND', [x, rows]), A, 4) // [G, P, M, R]
    const gained = emit.node('Mul', [low, gain])
    const high = emitRows(emit, emitSpread(emit, gained, owners), B, 4) // [G, U, M, unit]
    if (owners.length === 1) return void emit.node('GatherND', [high, back], {}, output.name)
    const width = output.shape.at(-1) as number
    const units = emit.node('GatherND', [high, back]) // [N, 1, U, unit]
    emit.node('Reshape', [units, emit.ints([0, 1, width])], {}, output.name)
  },
}
