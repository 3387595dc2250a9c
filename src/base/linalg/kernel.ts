// The innermost loop of a matrix product: a few rows times many columns, both packed. Where other hardware helps, another kernel stands in.

import type { FloatArray } from './matrix.ts'

/** Rows that the innermost loop works on at once. */
export const panelRows = 4

export interface Kernel {
  readonly panelColumns: number
  /** Room for [depth][panelRows] left, [depth][columns] right in panels, and the strip [panelRows][columns] that comes out. */
  buffers(depth: number, columns: number): { readonly left: FloatArray; readonly right: FloatArray; readonly strip: FloatArray }
  /** Fills the strip from panel `first` up to `panels`, over `depth` steps. */
  run(depth: number, first: number, panels: number, stripStride: number): void
}

let left = new Float64Array(0)
let right = new Float64Array(0)
let strip = new Float64Array(0)

/** Plain JavaScript in double precision: 4 × 4 sums stay in registers, which is as fast as scalar code gets (docs/merge.md has numbers). */
export const plainKernel: Kernel = {
  panelColumns: 4,
  buffers(depth, columns) {
    if (left.length < depth * 4) left = new Float64Array(depth * 4)
    if (right.length < depth * columns) right = new Float64Array(depth * columns)
    if (strip.length < 4 * columns) strip = new Float64Array(4 * columns)
    return { left, right, strip }
  },
  run(depth, first, panels, stripStride) {
    for (let panel = first; panel < panels; panel++) tile(left, right, panel * 4 * depth, depth, strip, panel * 4, stripStride)
  },
}

function tile(a: Float64Array, b: Float64Array, at: number, depth: number, out: Float64Array, to: number, stride: number): void {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0, c10 = 0, c11 = 0, c12 = 0, c13 = 0 // prettier-ignore
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0, c30 = 0, c31 = 0, c32 = 0, c33 = 0 // prettier-ignore
  for (let i = 0, end = 4 * depth; i < end; i += 4, at += 4) {
    const b0 = b[at]!, b1 = b[at + 1]!, b2 = b[at + 2]!, b3 = b[at + 3]! // prettier-ignore
    const a0 = a[i]!
    c00 += a0 * b0
    c01 += a0 * b1
    c02 += a0 * b2
    c03 += a0 * b3 // prettier-ignore
    const a1 = a[i + 1]!
    c10 += a1 * b0
    c11 += a1 * b1
    c12 += a1 * b2
    c13 += a1 * b3 // prettier-ignore
    const a2 = a[i + 2]!
    c20 += a2 * b0
    c21 += a2 * b1
    c22 += a2 * b2
    c23 += a2 * b3 // prettier-ignore
    const a3 = a[i + 3]!
    c30 += a3 * b0
    c31 += a3 * b1
    c32 += a3 * b2
    c33 += a3 * b3 // prettier-ignore
  }
  out[to] = c00
  out[to + 1] = c01
  out[to + 2] = c02
  out[to + 3] = c03 // prettier-ignore
  to += stride
  out[to] = c10
  out[to + 1] = c11
  out[to + 2] = c12
  out[to + 3] = c13 // prettier-ignore
  to += stride
  out[to] = c20
  out[to + 1] = c21
  out[to + 2] = c22
  out[to + 3] = c23 // prettier-ignore
  to += stride
  out[to] = c30
  out[to + 1] = c31
  out[to + 2] = c32
  out[to + 3] = c33 // prettier-ignore
}
