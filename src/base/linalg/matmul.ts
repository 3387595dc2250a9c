// Matrix products. Blocks of both operands are copied to where the innermost loop reads them; rows
// that are in order are copied whole.

import { assertInternal } from '../errors.ts'
import { panelRows, type Kernel } from './kernel.ts'
import { sliceColumns, type FloatArray, type Matrix } from './matrix.ts'
import { getFastKernels } from './simd.ts'

export interface ProductOptions {
  /** Add to the target's values; otherwise the target is overwritten. */
  readonly add?: boolean
  /**
   * The product is known to be symmetric (Gram matrices): half of it is computed, the other half
   * copied.
   */
  readonly symmetric?: boolean
  /** The kernel of the innermost loop; by default the fastest one that sums in double precision. */
  readonly kernel?: Kernel
}

/**
 * Steps of the inner dimension that are copied at a time: 4 rows and 8 columns of them fit the
 * first-level cache.
 */
const depth = 256

/**
 * Columns of the right side that are copied at a time, so that wide ones (a vocabulary) need no
 * large second copy.
 */
const breadth = 2048

/** target = left · right. left: [M, K], right: [K, N], target: [M, N], its rows contiguous. */
export function multiply(
  target: Matrix,
  left: Matrix,
  right: Matrix,
  { add = false, symmetric = false, kernel = getFastKernels().f64 }: ProductOptions = {},
): void {
  const rows = left.rows
  const inner = left.columns
  const columns = right.columns
  assertInternal(
    right.rows === inner &&
      target.rows === rows &&
      target.columns === columns &&
      target.columnStride === 1,
    `product of ${rows} × ${inner} and ${right.rows} × ${columns} into ${target.rows} × ${target.columns}.`,
  )
  if (inner === 0 && !add) clear(target)
  for (let column = 0; column < columns; column += breadth) {
    const count = Math.min(breadth, columns - column)
    multiplyBlock(sliceColumns(target, column, count), left, sliceColumns(right, column, count), {
      add,
      symmetric: symmetric && columns <= breadth,
      kernel,
    })
  }
  if (symmetric) mirror(target)
}

function multiplyBlock(
  target: Matrix,
  left: Matrix,
  right: Matrix,
  { add, symmetric, kernel }: Required<ProductOptions>,
): void {
  const { panelColumns } = kernel
  const rows = left.rows
  const inner = left.columns
  const panels = Math.ceil(right.columns / panelColumns)
  const stride = computeStride(panels * panelColumns)
  const buffers = kernel.buffers(Math.min(depth, inner), stride)
  for (let k = 0; k < inner; k += depth) {
    const count = Math.min(depth, inner - k)
    copyRight(buffers.right, right, k, count, stride)
    const byRow = left.columnStride === 1
    const layout = {
      depth: count,
      leftRow: byRow ? count : 1,
      leftStep: byRow ? 1 : panelRows,
      stride,
    }
    for (let row = 0; row < rows; row += panelRows) {
      if (byRow) copyRows(buffers.left, left, row, k, count)
      else interleaveRows(buffers.left, left, row, k, count)
      const first = symmetric ? Math.floor(row / panelColumns) : 0
      kernel.run(layout, first, panels)
      store(
        target,
        row,
        Math.min(panelRows, rows - row),
        first * panelColumns,
        buffers.strip,
        stride,
        add || k > 0,
      )
    }
  }
}

/**
 * A stride of an odd number of cache lines (16 f32): rows below each other then are in different
 * sets of the cache.
 */
const computeStride = (columns: number): number =>
  columns <= 64 ? columns : (Math.ceil(columns / 16) | 1) * 16

/**
 * Rows k…k + count of `right`, one after the other. What is behind their ends is never stored.
 */
function copyRight(
  block: FloatArray,
  { data, start, columns, rowStride, columnStride }: Matrix,
  k: number,
  count: number,
  stride: number,
): void {
  for (let p = 0; p < count; p++) {
    const from = start + (k + p) * rowStride
    if (columnStride === 1) block.set(data.subarray(from, from + columns), p * stride)
    else for (let j = 0; j < columns; j++) block[p * stride + j] = data[from + j * columnStride]!
  }
}

/** Four rows of `left`, [4][count]; rows beyond the end are zeros. */
function copyRows(
  block: FloatArray,
  { data, start, rows, rowStride }: Matrix,
  row: number,
  k: number,
  count: number,
): void {
  for (let i = 0; i < panelRows; i++) {
    const from = start + (row + i) * rowStride + k
    if (row + i < rows) block.set(data.subarray(from, from + count), i * count)
    else block.fill(0, i * count, (i + 1) * count)
  }
}

/** The same for rows that are interleaved already, [count][4]. */
function interleaveRows(
  block: FloatArray,
  { data, start, rows, rowStride, columnStride }: Matrix,
  row: number,
  k: number,
  count: number,
): void {
  const have = Math.min(panelRows, rows - row)
  for (let p = 0, to = 0; p < count; p++, to += panelRows) {
    const from = start + row * rowStride + (k + p) * columnStride
    for (let i = 0; i < have; i++) block[to + i] = data[from + i * rowStride]!
    for (let i = have; i < panelRows; i++) block[to + i] = 0
  }
}

function store(
  target: Matrix,
  row: number,
  count: number,
  column: number,
  strip: FloatArray,
  stripStride: number,
  add: boolean,
): void {
  const { data, columns } = target
  for (let i = 0; i < count; i++) {
    const to = target.start + (row + i) * target.rowStride
    const from = i * stripStride
    if (!add) data.set(strip.subarray(from + column, from + columns), to + column)
    else for (let j = column; j < columns; j++) data[to + j]! += strip[from + j]!
  }
}

function clear(target: Matrix): void {
  for (let row = 0; row < target.rows; row++) {
    const from = target.start + row * target.rowStride
    target.data.fill(0, from, from + target.columns)
  }
}

function mirror({ data, start, rows, rowStride }: Matrix): void {
  for (let row = 1; row < rows; row++)
    for (let column = 0; column < row; column++)
      data[start + row * rowStride + column] = data[start + column * rowStride + row]!
}
