// Keeping a share of the largest numbers: thresholds found by counting float bit patterns, which
// have the same order as the magnitudes.

const magnitudeBits = 0x7fffffff

/** A float array's bits. */
export const toBits = (values: Float32Array): Int32Array =>
  new Int32Array(values.buffer, values.byteOffset, values.length)

/** The magnitude that bits stand for. */
export const toMagnitude = (bits: number): number =>
  new Float32Array(Int32Array.of(bits).buffer)[0]!

let upper = new Uint32Array(0)
let lower = new Uint32Array(0)

/**
 * The bits of the k-th largest magnitude (k ≥ 1): two passes of counting, the upper and the lower
 * half of the bits, exact for any numbers. Entries with bits ≥ the result are the k largest, and
 * all that equal the smallest of them.
 */
export function computeThresholdBits(values: Float32Array, k: number): number {
  const bits = toBits(values)
  if (upper.length === 0) {
    upper = new Uint32Array(1 << 15)
    lower = new Uint32Array(1 << 16)
  }
  upper.fill(0)
  for (let i = 0; i < bits.length; i++) upper[(bits[i]! & magnitudeBits) >>> 16]!++
  const [high, above] = selectBin(upper, k)
  lower.fill(0)
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & magnitudeBits
    if (magnitude >>> 16 === high) lower[magnitude & 0xffff]!++
  }
  const [low] = selectBin(lower, k - above)
  return (high << 16) | low
}

/** The bin of the k-th largest, and the count in the bins above it. */
function selectBin(counts: Uint32Array, k: number): [bin: number, above: number] {
  let above = 0
  for (let bin = counts.length - 1; bin >= 0; bin--) {
    if (above + counts[bin]! >= k) return [bin, above]
    above += counts[bin]!
  }
  return [0, above]
}

/** How many of `size` entries a density keeps: at least one. */
export const countKept = (size: number, density: number): number =>
  Math.max(1, Math.floor(density * size))

/** Threshold for keeping a share of the entries; 0 keeps all. */
export const computeDensityThreshold = (values: Float32Array, density: number): number =>
  density >= 1 ? 0 : computeThresholdBits(values, countKept(values.length, density))

/**
 * Sets entries below the threshold to zero, in place and without branches, because half of them
 * would be mispredicted.
 */
export function trimBelow(values: Float32Array, threshold: number): void {
  const bits = toBits(values)
  // threshold − 1 − magnitude is negative exactly where the entry stays; its sign bit spread is the
  // mask.
  for (let i = 0; i < bits.length; i++)
    bits[i] = bits[i]! & ((threshold - 1 - (bits[i]! & magnitudeBits)) >> 31)
}

/** Sets entries from the threshold on to zero. */
export function trimFrom(values: Float32Array, threshold: number): void {
  const bits = toBits(values)
  for (let i = 0; i < bits.length; i++)
    bits[i] = bits[i]! & (((bits[i]! & magnitudeBits) - threshold) >> 31)
}
