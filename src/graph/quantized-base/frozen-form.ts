// The contract of a frozen form: how a base weight that only the gradient of its input passes
// through is kept quantised while a model trains. Its parts are inputs of the graph; f32 values
// exist for the length of one product.

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
  /** Whether a matrix of this shape can be kept so. */
  fits(shape: FrozenShape): boolean
  /** What a matrix becomes, in order. */
  parts(shape: FrozenShape): readonly PartSpec[]
  /** Quantises row-major values: one tensor for each part. */
  quantize(values: Float32Array, shape: FrozenShape): Tensor[]
  /** The values, row by row, as every product sees them. */
  dequantize(parts: readonly Tensor[], shape: FrozenShape): Float32Array
  /**
   * Writes nodes that make the matrix [rows, columns] in f32. `one` is a [1] tensor of 1: with it,
   * nothing is made before it is there.
   */
  emitWeight(emit: OnnxEmitter, parts: readonly string[], shape: FrozenShape, one: string): string
  /**
   * Writes y = x·Wᵀ where that is cheaper than by the matrix, and the platform has the operator.
   */
  readonly product?: {
    readonly operator: OwnOperator
    emit(
      emit: OnnxEmitter,
      x: string,
      parts: readonly string[],
      shape: FrozenShape,
      output: string,
    ): void
    /** Writes dx = dy·W; false if it is no cheaper for this shape. `one` as for emitWeight. */
    emitGradient(
      emit: OnnxEmitter,
      upstream: { readonly name: string; readonly one: string },
      parts: readonly string[],
      shape: FrozenShape,
      output: string,
    ): boolean
  }
  /**
   * Writes rows by i64 number where that is cheaper than by the matrix: ids [..] of a rank → [..,
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
