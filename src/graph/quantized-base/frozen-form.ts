// The contract of a frozen form: how a base weight without a gradient stays quantised in training.
// Its parts are inputs of the graph; f32 values exist only during one product.

import type { Tensor } from '../../base/tensor.ts'
import type { OnnxEmitter } from '../operation.ts'
import type { OwnOperator } from '../own-operators.ts'

export type FrozenShape = readonly [rows: number, columns: number]

export interface PartSpec {
  readonly name: string
  readonly dtype: 'u8' | 'i8' | 'f32'
  readonly shape: readonly number[]
}

export interface FrozenForm {
  readonly name: string
  /** Whether a matrix of this shape can have this form. */
  fits(shape: FrozenShape): boolean
  /** The parts of a matrix, in order. */
  parts(shape: FrozenShape): readonly PartSpec[]
  /** Quantises row-major values: one tensor for each part. */
  quantize(values: Float32Array, shape: FrozenShape): Tensor[]
  /** The values, row by row, as used in every product. */
  dequantize(parts: readonly Tensor[], shape: FrozenShape): Float32Array
  /**
   * Emits nodes that compute the matrix [rows, columns] in f32. `one` is a [1] tensor of 1; nothing
   * is computed before it is available.
   */
  emitWeight(emit: OnnxEmitter, parts: readonly string[], shape: FrozenShape, one: string): string
  /** Emits y = x·Wᵀ if that is cheaper than with the matrix, and the platform has the operator. */
  readonly product?: {
    readonly operator: OwnOperator
    emit(
      emit: OnnxEmitter,
      x: string,
      parts: readonly string[],
      shape: FrozenShape,
      output: string,
    ): void
    /** Emits dx = dy·W; false if that is not cheaper for this shape. `one` as for emitWeight. */
    emitGradient(
      emit: OnnxEmitter,
      upstream: { readonly name: string; readonly one: string },
      parts: readonly string[],
      shape: FrozenShape,
      output: string,
    ): boolean
  }
  /**
   * Emits rows by i64 index, if that is cheaper than with the matrix: ids [..] of a rank → [..,
   * columns].
   */
  emitRows?(
    emit: OnnxEmitter,
    ids: { name: string; rank: number },
    parts: readonly string[],
    shape: FrozenShape,
    output: string,
  ): void
}
