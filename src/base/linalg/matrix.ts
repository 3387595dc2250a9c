// A matrix is a view of a typed array: sizes, strides, where it starts. Transposing or taking rows
// copies nothing.

import { assertInternal } from '../errors.ts'

export type FloatArray = Float32Array | Float64Array

export interface Matrix<Data extends FloatArray = FloatArray> {
  readonly rows: number
  readonly columns: number
  readonly data: Data
  readonly start: number
  readonly rowStride: number
  readonly columnStride: number
}

/** A row-major matrix over `data`, which is not copied and may be longer than needed. */
export function createMatrix<Data extends FloatArray>(
  rows: number,
  columns: number,
  data: Data,
): Matrix<Data> {
  assertInternal(
    data.length >= rows * columns,
    `${data.length} values do not fill ${rows} × ${columns}.`,
  )
  return { rows, columns, data, start: 0, rowStride: columns, columnStride: 1 }
}

/** A new row-major matrix of zeros in double precision. */
export const createZeros = (rows: number, columns: number): Matrix<Float64Array> =>
  createMatrix(rows, columns, new Float64Array(rows * columns))

export const transpose = <Data extends FloatArray>({
  rows,
  columns,
  rowStride,
  columnStride,
  ...rest
}: Matrix<Data>): Matrix<Data> => ({
  ...rest,
  rows: columns,
  columns: rows,
  rowStride: columnStride,
  columnStride: rowStride,
})

/** `count` rows from `first` on. */
export const sliceRows = <Data extends FloatArray>(
  matrix: Matrix<Data>,
  first: number,
  count: number,
): Matrix<Data> => ({
  ...matrix,
  rows: count,
  start: matrix.start + first * matrix.rowStride,
})

/** `count` columns from `first` on. */
export const sliceColumns = <Data extends FloatArray>(
  matrix: Matrix<Data>,
  first: number,
  count: number,
): Matrix<Data> => transpose(sliceRows(transpose(matrix), first, count))

export const getElement = (
  { data, start, rowStride, columnStride }: Matrix,
  row: number,
  column: number,
): number => data[start + row * rowStride + column * columnStride]!

/** Σ m²: the square of the Frobenius norm. Of a contiguous matrix. */
export function computeSquaredNorm({ data, start, rows, columns }: Matrix): number {
  let sum = 0
  for (let i = start, end = start + rows * columns; i < end; i++) sum += data[i]! * data[i]!
  return sum
}
