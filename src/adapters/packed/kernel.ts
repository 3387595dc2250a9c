// The contract of the kernels of packed tensors. The relaxed-SIMD, the SIMD and the plain kernel
// unpack to the same bits, and their products agree up to rounding. Kernels check nothing; callers
// ensure that every offset and length is valid, so that no kernel traps.

/** Loops over one memory. Offsets are in bytes; blocks have 64 values, including padding. */
export interface PackedKernels {
  /** out = factor·(scale·code): one code per byte, one bf16 scale per block. */
  unpack8(codes: number, scales: number, blocks: number, out: number, factor: number): void
  /** The same with two codes per byte, the first in the low half, each stored as code + 8. */
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
