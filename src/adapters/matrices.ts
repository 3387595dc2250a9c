// The little matrix arithmetic that folding an adapter into a weight needs: plain loops over row-major arrays.

/** target += factor·left·right. left: [m, k], right: [k, n], target: [m, n]. Each row is summed in double precision. */
export function addProduct(
  target: Float32Array,
  left: Float32Array,
  right: Float32Array,
  [m, k, n]: readonly [number, number, number],
  factor: number,
): void {
  const sums = new Float64Array(n)
  for (let row = 0; row < m; row++) {
    sums.fill(0)
    for (let inner = 0; inner < k; inner++) {
      const weight = left[row * k + inner]!
      const start = inner * n
      for (let column = 0; column < n; column++) sums[column]! += weight * right[start + column]!
    }
    for (let column = 0; column < n; column++) target[row * n + column]! += factor * sums[column]!
  }
}

/** [rows, columns] → [columns, rows] */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!
  return result
}
