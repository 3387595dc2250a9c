// The innermost loop of a matrix product: a few rows times many columns. Where the platform has
// vectors, simd.ts has a faster one.

import type { FloatArray } from './matrix.ts'

/** Rows that the innermost loop works on at once. */
export const panelRows = 4

/** The layout of the operands in the buffers, in elements. */
export interface PanelLayout {
  /** Steps of the inner dimension. */
  readonly depth: number
  /** left[row·leftRow + step·leftStep], for the 4 rows. */
  readonly leftRow: number
  readonly leftStep: number
  /** right[step·stride + column], strip[row·stride + column]. */
  readonly stride: number
}

export interface Kernel {
  /** Columns of one panel. */
  readonly panelColumns: number
  /**
   * Allocates [4][depth] for left, [depth][stride] for right and [4][stride] for the result strip.
   */
  buffers(
    depth: number,
    stride: number,
  ): { readonly left: FloatArray; readonly right: FloatArray; readonly strip: FloatArray }
  /** strip[row][column] = Σ over steps of left·right, from panel `first` up to `panels`. */
  run(layout: PanelLayout, first: number, panels: number): void
}

let left = new Float64Array(0)
let right = new Float64Array(0)
let strip = new Float64Array(0)

/**
 * Plain JavaScript in double precision: 4 × 4 sums stay in registers, which is as fast as scalar
 * code gets (docs/merge-results.md has numbers).
 */
export const plainKernel: Kernel = {
  panelColumns: 4,
  buffers(depth, stride) {
    if (left.length < depth * panelRows) left = new Float64Array(depth * panelRows)
    if (right.length < depth * stride) right = new Float64Array(depth * stride)
    if (strip.length < panelRows * stride) strip = new Float64Array(panelRows * stride)
    return { left, right, strip }
  },
  run(layout, first, panels) {
    for (let panel = first; panel < panels; panel++)
      multiplyTile(left, right, strip, layout, panel * 4)
  },
}

function multiplyTile(
  a: Float64Array,
  b: Float64Array,
  out: Float64Array,
  { depth, leftRow, leftStep, stride }: PanelLayout,
  column: number,
): void {
  let c00 = 0,
    c01 = 0,
    c02 = 0,
    c03 = 0,
    c10 = 0,
    c11 = 0,
    c12 = 0,
    c13 = 0
  let c20 = 0,
    c21 = 0,
    c22 = 0,
    c23 = 0,
    c30 = 0,
    c31 = 0,
    c32 = 0,
    c33 = 0
  for (let step = 0, i = 0, at = column; step < depth; step++, i += leftStep, at += stride) {
    const b0 = b[at]!,
      b1 = b[at + 1]!,
      b2 = b[at + 2]!,
      b3 = b[at + 3]!
    const a0 = a[i]!
    c00 += a0 * b0
    c01 += a0 * b1
    c02 += a0 * b2
    c03 += a0 * b3
    const a1 = a[i + leftRow]!
    c10 += a1 * b0
    c11 += a1 * b1
    c12 += a1 * b2
    c13 += a1 * b3
    const a2 = a[i + 2 * leftRow]!
    c20 += a2 * b0
    c21 += a2 * b1
    c22 += a2 * b2
    c23 += a2 * b3
    const a3 = a[i + 3 * leftRow]!
    c30 += a3 * b0
    c31 += a3 * b1
    c32 += a3 * b2
    c33 += a3 * b3
  }
  out.set([c00, c01, c02, c03], column)
  out.set([c10, c11, c12, c13], column + stride)
  out.set([c20, c21, c22, c23], column + 2 * stride)
  out.set([c30, c31, c32, c33], column + 3 * stride)
}
