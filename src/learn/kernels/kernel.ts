// The contract of kernels for learning at the head. The relaxed-SIMD, the SIMD and the plain ones
// agree to 1e-5, and exactly on integers. Kernels check nothing: callers must pass valid offsets
// and lengths, because an invalid one traps.

/** Loops over one memory. Places are bytes; blocks are 64 floats. */
export interface LearnKernels {
  /** out[b] = max row[64b … 64b + 63]. Gives the largest of all. */
  maxima(row: number, blocks: number, out: number): number
  /** values[i] = exp(values[i] − top), in place. */
  exponentials(values: number, blocks: number, top: number): void
  /**
   * Σ exp(row[i] − top), without blocks whose maximum is more than `reach` below the top: each
   * leaves out at most 64·e^−reach.
   */
  sumOfExponentials(row: number, blocks: number, maxima: number, top: number, reach: number): number
  /** sums[i] = rows[i]·query, i32: rows of `stride` i8, a multiple of 16, with `stride` i16. */
  products(query: number, rows: number, count: number, stride: number, sums: number): void
  /** The same for four queries, one after the other. sums: [4, count]. */
  productsOfFour(queries: number, rows: number, count: number, stride: number, sums: number): void
}
