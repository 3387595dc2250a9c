// Matrix products. Both operands are packed into panels that the innermost loop reads in order, so any strides run at the same speed.

import { assertInternal } from '../errors.ts'
import { panelRows, type Kernel } from './kernel.ts'
import { columnsOf, type FloatArray, type Matrix } from './matrix.ts'
import { fastKernels } from './simd.ts'

export interface ProductOptions {
  /** Add to what the target holds; otherwise the target is overwritten. */
  readonly add?: boolean
  /** The product is known to be symmetric (Gram matrices): half of it is computed, the other half copied. */
  readonly symmetric?: boolean
  /** Who runs the innermost loop; unless said, the fastest one that sums in double precision. */
  readonly kernel?: Kernel
}

/** Steps of the inner dimension that are packed at a time: 4 rows of it fit the first-level cache beside 4 columns. */
const depth = 256

/** Columns of the right side that are packed at a time, so that wide ones (a vocabulary) need no large second copy. */
const breadth = 2048

/** target = left · right. left: [M, K], right: [K, N], target: [M, N], its rows contiguous. */
export function multiply(
  target: Matrix,
  left: Matrix,
  right: Matrix,
  { add = false, symmetric = false, kernel = fastKernels().f64 }: ProductOptions = {},
): void {
  const [rows, inner, columns] = [left.rows, left.columns, right.columns]
  assertInternal(
    right.rows === inner && target.rows === rows && target.columns === columns && target.columnStride === 1,
    `product of ${rows} × ${inner} and ${right.rows} × ${columns} into ${target.rows} × ${target.columns}.`,
  )
  if (inner === 0 && !add) clear(target)
  for (let column = 0; column < columns; column += breadth) {
    const count = Math.min(breadth, columns - column)
    multiplyBlock(columnsOf(target, column, count), left, columnsOf(right, column, count), {
      add,
      symmetric: symmetric && columns <= breadth,
      kernel,
    })
  }
  if (symmetric) mirror(target)
}

function multiplyBlock(target: Matrix, left: Matrix, right: Matrix, { add, symmetric, kernel }: Required<ProductOptions>): void {
  const { panelColumns } = kernel
  const [rows, inner] = [left.rows, left.columns]
  const panels = Math.ceil(right.columns / panelColumns)
  const stripStride = panels * panelColumns
  const { left: packedLeft, right: packedRight, strip } = kernel.buffers(Math.min(depth, inner), stripStride)
  for (let k = 0; k < inner; k += depth) {
    const count = Math.min(depth, inner - k)
    for (let panel = 0; panel < panels; panel++) {
      const column = panel * panelColumns
      packColumns(packedRight, column * count, right, k, count, column, panelColumns)
    }
    for (let row = 0; row < rows; row += panelRows) {
      packRows(packedLeft, left, row, k, count)
      const first = symmetric ? Math.floor(row / panelColumns) : 0
      kernel.run(count, first, panels, stripStride)
      store(target, row, Math.min(panelRows, rows - row), first * panelColumns, strip, stripStride, add || k > 0)
    }
  }
}

/** Rows `row`… of `left`, interleaved: [count][4]. Rows beyond the end are zeros. */
function packRows(packed: FloatArray, left: Matrix, row: number, k: number, count: number): void {
  const { data, start, rows, rowStride, columnStride } = left
  let a = start + row * rowStride + k * columnStride
  let [b, c, d] = [a + rowStride, a + 2 * rowStride, a + 3 * rowStride]
  if (row + 4 > rows) {
    for (let i = 0; i < 4; i++, a += rowStride)
      for (let p = 0; p < count; p++) packed[4 * p + i] = row + i < rows ? data[a + p * columnStride]! : 0
    return
  }
  for (let to = 0, end = 4 * count; to < end; to += 4) {
    packed[to] = data[a]!
    packed[to + 1] = data[b]!
    packed[to + 2] = data[c]!
    packed[to + 3] = data[d]!
    a += columnStride
    b += columnStride
    c += columnStride
    d += columnStride
  }
}

/** Columns `column`… of `right`, interleaved: [count][panelColumns], from `to` on. Columns beyond the end are zeros. */
function packColumns(packed: FloatArray, to: number, right: Matrix, k: number, count: number, column: number, panelColumns: number): void {
  const { data, start, rowStride, columnStride } = right
  const have = Math.min(panelColumns, right.columns - column)
  for (let p = 0; p < count; p++, to += panelColumns) {
    const from = start + (k + p) * rowStride + column * columnStride
    for (let j = 0; j < have; j++) packed[to + j] = data[from + j * columnStride]!
    for (let j = have; j < panelColumns; j++) packed[to + j] = 0
  }
}

function store(target: Matrix, row: number, count: number, column: number, strip: FloatArray, stripStride: number, add: boolean): void {
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
    for (let column = 0; column < row; column++) data[start + row * rowStride + column] = data[start + column * rowStride + row]!
}
