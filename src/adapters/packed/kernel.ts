// What the kernels of packed tensors do. The relaxed-SIMD, the SIMD and the plain one unpack to the
// same bits, and their products agree to rounding. Kernels check nothing; callers see to it that
// every place and length is right, so that nothing can trap.

/** Loops over one memory. Places are bytes; blocks are 64 values, padding included. */
export interface PackedKernels {
  /** out = factor·(scale·code): a code a byte, a bf16 scale for each block. */
  unpack8(codes: number, scales: number, blocks: number, out: number, factor: number): void
  /** The same with two codes a byte, the first in the low half, each stored as code + 8. */
  unpack4(codes: number, scales: number, blocks: number, out: number, factor: number): void
  /** out = factor·value of f16 bits. */
  unpackF16(bits: number, blocks: number, out: number, factor: number): void
  /** out = factor·value of bf16 bits. */
  unpackBf16(bits: number, blocks: number, out: number, factor: number): void
  /**
   * out[t, i] += scale·Σ_c matrix[i, c]·x[t, c], for a matrix f32 [rows, columns] and x [count,
   * columns]; `outBytes` from one row of out to the next.
   */
  multiply(
    matrix: number,
    rows: number,
    columns: number,
    x: number,
    count: number,
    out: number,
    outBytes: number,
    scale: number,
  ): void
}
