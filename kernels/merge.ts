// The sign election of TIES for WebAssembly vectors, in AssemblyScript, compiled by
// scripts/kernels.mjs without relaxed SIMD, so that every platform elects the same signs. Addresses
// are in bytes. Nothing is checked here: src/merge/sign-election-simd.ts checks before it calls.

const zero = f32x4.splat(0)
const signBit = i32x4.splat(0x80000000)
/** The smallest normal number: added to a sum of weights it is lost, and 0 divided by it is 0. */
const tiny = i32x4.splat(0x00800000)

/** Four entries of a row; those whose magnitude is below the threshold of its pair are zero. */
function trim(row: usize, pair: usize): v128 {
  const value = v128.load(row)
  return v128.and(value, f32x4.ge(f32x4.abs(value), v128.load32_splat(pair, 4)))
}

/**
 * out = the mean of the entries whose sign is that of the weighted sum, four entries at a time.
 * rows: contiguous, `rowBytes` apart. pairs: (weight, threshold) for each row.
 */
export function elect(
  rows: usize,
  out: usize,
  pairs: usize,
  count: i32,
  vectors: i32,
  rowBytes: usize,
): void {
  for (; vectors > 0; vectors--, rows += 16, out += 16) {
    let total = zero
    for (let at = rows, pair = pairs, left = count; left > 0; left--, at += rowBytes, pair += 8)
      total = f32x4.add(total, f32x4.mul(v128.load32_splat(pair), trim(at, pair)))
    const sign = v128.and(f32x4.lt(total, zero), signBit)
    let sum = zero
    let share = tiny
    // With the sign turned, entries that agree are those above 0; the comparison's mask selects
    // them.
    for (let at = rows, pair = pairs, left = count; left > 0; left--, at += rowBytes, pair += 8) {
      const value = v128.xor(trim(at, pair), sign)
      const weight = v128.load32_splat(pair)
      const agrees = f32x4.gt(value, zero)
      sum = f32x4.add(sum, v128.and(f32x4.mul(weight, value), agrees))
      share = f32x4.add(share, v128.and(weight, agrees))
    }
    v128.store(out, v128.xor(f32x4.div(sum, share), sign))
  }
}
