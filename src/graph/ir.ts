// The intermediate representation: a graph is a plain value of named inputs, nodes in running
// order, and named outputs. Dimensions are numbers, or names such as 'N' or 'T' that are bound when
// tensors are fed.

import type { FloatType } from '../base/dtype.ts'
import type { Tensor } from '../base/tensor.ts'

export type Dim = number | string
export type ValueType = FloatType | 'f16' | 'i64' | 'i32' | 'u8' | 'i8'

/** A value that flows through a graph. Two values with the same name are the same value. */
export interface Value {
  readonly name: string
  readonly dtype: ValueType
  readonly shape: readonly Dim[]
}

export type Attribute = number | string | boolean | readonly number[] | readonly Dim[]
export type Attributes = Readonly<Record<string, Attribute>>

export interface Node {
  /** Name of a row in the table of operations. */
  readonly operation: string
  readonly inputs: readonly Value[]
  readonly output: Value
  readonly attributes: Attributes
}

/**
 * What an input is for: weights come from a checkpoint, adapter tensors from an adapter, the rest
 * from the caller at every run.
 */
export type InputRole = 'weight' | 'adapter' | 'feed'

export interface GraphInput extends Value {
  readonly role: InputRole
}

export interface Graph {
  readonly inputs: readonly GraphInput[]
  readonly nodes: readonly Node[]
  /** Output name → its value. */
  readonly outputs: ReadonlyMap<string, Value>
  readonly constants: ReadonlyMap<string, Tensor>
}

export const getRank = (value: Value): number => value.shape.length
export const getLastDim = (value: Value): Dim => value.shape[value.shape.length - 1]!
export const describeShape = (shape: readonly Dim[]): string => `[${shape.join(', ')}]`
export const hasSameShape = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((dim, i) => dim === b[i])

/** The product of two dimensions; a number if both are: multiply(3, 'T') = '3*T'. */
export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b
  if (a === 1) return b
  if (b === 1) return a
  return typeof b === 'number' ? `${b}*${a}` : `${a}*${b}`
}

/** A dimension divided by `by`, rounded up; a number if the dimension is one. */
export const divideDims = (a: Dim, by: number): Dim =>
  typeof a === 'number' ? Math.ceil(a / by) : `${a}/${by}`

/** The value of a factor in a dimension's name: 3, 'T', 'T/16'; undefined if T is not known. */
export function readFactor(
  factor: string,
  numberOf: (name: string) => number | undefined,
): number | undefined {
  const [name, by] = factor.split('/') as [string, string?]
  const whole = /^\d+$/.test(name) ? Number(name) : numberOf(name)
  return whole === undefined || by === undefined ? whole : Math.ceil(whole / Number(by))
}

/** The sum of two dimensions; a number if both are. */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b
  if (a === 0) return b
  if (b === 0) return a
  return `${a}+${b}`
}
