// Order of execution as a data dependency: a value that is available only after another one. ONNX
// Runtime orders nodes by walking back from the outputs, and runs equal nodes once. A value that
// must be computed late, or again, therefore has to depend on another value.

import type { OnnxEmitter, Operation } from '../operation.ts'
import type { Dim } from '../ir.ts'

/**
 * The axis whose length is unknown before the run, because ONNX Runtime folds a known shape into a
 * constant, which removes the dependency.
 */
export const findSymbolicAxis = (shape: readonly Dim[]): number =>
  shape.findIndex((dim) => typeof dim === 'string')

/**
 * x under a new name, available once `gate` is computed: a reshape to [0, 0, …] (unchanged), whose
 * zeros are computed from the gate's shape. No copy.
 */
export function emitAfter(
  emit: OnnxEmitter,
  x: string,
  rank: number,
  gate: string,
  axis: number,
  output?: string,
): string {
  const length = emit.node('Shape', [gate], { start: { int: axis }, end: { int: axis + 1 } })
  return emit.node(
    'Reshape',
    [x, emit.node('Mul', [length, emit.ints(new Array<number>(rank).fill(0))])],
    {},
    output,
  )
}

/**
 * x, not before `gate`: inputs x [..] of one dimension or more, and gate, of any shape. The value
 * is x's.
 */
export const after: Operation = {
  name: 'after',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate: ([x]) => x!,
  onnx(emit, { inputs: [x, gate], output }) {
    emitAfter(
      emit,
      x!.name,
      x!.shape.length,
      gate!.name,
      Math.max(0, findSymbolicAxis(gate!.shape)),
      output.name,
    )
  },
}
