// Small helpers of the reference evaluations: float arrays, strides, broadcasting. Deliberately
// slow and simple.

import { ShapeError } from '../../base/errors.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { describeShape, type Attributes, type Dim, type Value } from '../ir.ts'

export type Floats = Float32Array | Float64Array

export const asFloats = (tensor: Tensor): Floats => tensor.data as Floats

/**
 * A tensor of zeros in the same float type as `model`: f64 in, f64 out, so that gradients can be
 * checked in double precision.
 */
export function createZerosLike(
  model: Tensor,
  shape: readonly number[],
): Tensor & { data: Floats } {
  return model.dtype === 'f64'
    ? { dtype: 'f64', shape, data: new Float64Array(sizeOf(shape)) }
    : { dtype: 'f32', shape, data: new Float32Array(sizeOf(shape)) }
}

export const toIntegers = (tensor: Tensor): number[] =>
  Array.from(tensor.data as BigInt64Array, Number)

export function computeStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1)
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!
  return strides
}

/**
 * Calls `visit` with each index of a shape, in row-major order. The array is reused between calls.
 */
export function visitIndices(
  shape: readonly number[],
  visit: (index: readonly number[], flat: number) => void,
): void {
  const index = new Array<number>(shape.length).fill(0)
  const total = sizeOf(shape)
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break
      index[axis] = 0
    }
  }
}

/** Numpy's broadcasting of two shapes; named dimensions must be equal or meet a 1. */
export function broadcastShapes<D extends Dim>(
  a: readonly D[],
  b: readonly D[],
  what: string,
): D[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length]
    const y = b[i - rank + b.length]
    if (x === undefined || x === 1) return (y ?? x) as D
    if (y === undefined || y === 1 || x === y) return x
    throw new ShapeError(
      `${what}: shapes ${describeShape(a)} and ${describeShape(b)} do not broadcast.`,
    )
  })
}

/** Position in an operand's data of a broadcast index. */
export function computeBroadcastOffset(
  index: readonly number[],
  shape: readonly number[],
  strides: readonly number[],
): number {
  const skip = index.length - shape.length
  let offset = 0
  for (let i = 0; i < shape.length; i++)
    if (shape[i] !== 1) offset += index[i + skip]! * strides[i]!
  return offset
}

export const getNumberAttribute = (attributes: Attributes, name: string): number =>
  attributes[name] as number
export const getFlagAttribute = (attributes: Attributes, name: string): boolean =>
  attributes[name] === true
export const getListAttribute = (attributes: Attributes, name: string): readonly number[] =>
  attributes[name] as readonly number[]

export function checkRank(operation: string, value: Value, ...allowed: number[]): void {
  if (allowed.includes(value.shape.length)) return
  throw new ShapeError(
    `${operation}: "${value.name}" has shape ${describeShape(value.shape)}, expected rank ${allowed.join(' or ')}.`,
  )
}

export function checkDim(
  operation: string,
  what: string,
  got: Dim | undefined,
  expected: Dim | undefined,
): void {
  if (got !== expected)
    throw new ShapeError(`${operation}: ${what} is ${got}, expected ${expected}.`)
}

/**
 * Largest value of a row, and Σ exp(value − largest): the two numbers a stable softmax and
 * log-sum-exp need.
 */
export function computeSoftmaxScale(row: Floats): { top: number; total: number } {
  let top = -Infinity
  for (const value of row) top = Math.max(top, value)
  let total = 0
  for (const value of row) total += Math.exp(value - top)
  return { top, total }
}

/** Halves go to the even neighbour, as in ONNX. */
export const roundToEven = (value: number): number => {
  const rounded = Math.round(value)
  return Math.abs(value - Math.trunc(value)) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}
