// The contract of an operation: one row of the table. Its shape rule, its simple reference
// evaluation, its gradient, its ONNX form.

import type { Tensor } from '../base/tensor.ts'
import type { OnnxAttribute } from '../formats/onnx.ts'
import type { Attributes, Dim, Value, ValueType } from './ir.ts'
import type { OwnOperator } from './own-operators.ts'

/** The operators that rules may use; the graph builder implements them. */
export interface Operators {
  op(operation: string, inputs: readonly Value[], attributes?: Attributes): Value
  add(a: Value, b: Value): Value
  subtract(a: Value, b: Value): Value
  multiply(a: Value, b: Value): Value
  divide(a: Value, b: Value): Value
  scale(x: Value, factor: number): Value
  matmul(
    a: Value,
    b: Value,
    options?: { transA?: boolean; transB?: boolean; alpha?: number },
  ): Value
  reduceSum(x: Value, axes: readonly number[], keepDims?: boolean): Value
  reshape(x: Value, shape: readonly Dim[]): Value
  transpose(x: Value, order: readonly number[]): Value
  slice(x: Value, axis: number, start: number, end: number): Value
  concat(values: readonly Value[], axis: number): Value
}

/** A node whose gradient is wanted, with the gradient that arrives at its output. */
export interface GradientContext {
  readonly inputs: readonly Value[]
  readonly output: Value
  readonly attributes: Attributes
  /** Gradient of the loss with respect to the node's output, of its shape. */
  readonly upstream: Value
  /** Whether the gradient of this input is needed; rules skip the rest. */
  needs(index: number): boolean
}

/** Builds the ONNX nodes of one operation. Intermediate names are unique. */
export interface OnnxEmitter {
  /** Adds a node with one fresh or given output and returns the output's name. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, OnnxAttribute>,
    output?: string,
  ): string
  /** Whether the platform has this operator of ONNX Runtime's own domain. */
  has(operator: OwnOperator): boolean
  /** Adds a node of that domain. */
  microsoft(
    type: OwnOperator,
    inputs: readonly string[],
    attributes?: Record<string, OnnxAttribute>,
    output?: string,
  ): string
  nodeWithOutputs(
    type: string,
    domain: string,
    inputs: readonly string[],
    attributes: Record<string, OnnxAttribute>,
    outputs: readonly string[],
  ): void
  ints(values: readonly number[]): string
  float(value: number): string
  /** A constant tensor of the program, created once for each name. */
  constant(name: string, make: () => Tensor): string
  fresh(): string
}

export interface OnnxContext {
  readonly inputs: readonly Value[]
  readonly output: Value
  readonly attributes: Attributes
}

export interface Operation {
  readonly name: string
  /** Type and shape of the output; throws ShapeError when the inputs do not fit. */
  shape(
    inputs: readonly Value[],
    attributes: Attributes,
  ): { dtype: ValueType; shape: readonly Dim[] }
  /** The reference: as simple as possible. `dims` binds the named dimensions known so far. */
  evaluate(
    inputs: readonly Tensor[],
    attributes: Attributes,
    dims: ReadonlyMap<string, number>,
  ): Tensor
  /**
   * Gradients by input; undefined if there is none. Absent: the operation is expanded first, or has
   * no gradient.
   */
  gradient?(g: Operators, context: GradientContext): readonly (Value | undefined)[]
  /** The same operation expressed in simpler ones, for gradients. */
  expand?(g: Operators, inputs: readonly Value[], attributes: Attributes): Value
  onnx(emit: OnnxEmitter, context: OnnxContext): void
}
