// The matrix arithmetic for merging an adapter into a weight: plain loops over row-major arrays.

/**
 * target += factor·left·right. left: [m, k], right: [k, n], target: [m, n]. Each row is summed in
 * double precision.
 */
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
export function transposeValues(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = values[row * columns + column]!
  return result
}

/** ‖row‖₂ of each row of [rows, columns], summed in double precision. */
export function computeRowNorms(values: Float32Array, rows: number, columns: number): Float32Array {
  const norms = new Float32Array(rows)
  for (let row = 0; row < rows; row++) {
    let sum = 0
    for (let i = row * columns; i < (row + 1) * columns; i++) sum += values[i]! * values[i]!
    norms[row] = Math.sqrt(sum)
  }
  return norms
}

/** Multiplies every row in place by its factor. */
export function scaleRows(values: Float32Array, factors: Float32Array): void {
  const columns = values.length / factors.length
  for (let i = 0; i < values.length; i++) values[i]! *= factors[Math.floor(i / columns)]!
}

/** Multiplies every column in place by its factor. */
export function scaleColumns(values: Float32Array, factors: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i]! *= factors[i % factors.length]!
}

/**
 * The values themselves, not copied, where the scale is 1. A plain loop: `map` of a typed array
 * calls a function for every value.
 */
export function scaleValues(values: Float32Array, scale: number): Float32Array {
  if (scale === 1) return values
  const result = new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) result[i] = scale * values[i]!
  return result
}
