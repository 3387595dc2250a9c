// Symmetrical 8-bit blocks along a row: w = code·scale, scale = absmax/127. As Q8_0, with blocks of
// 64 and scales in f32, apart from the codes.

export interface Int8Blocks {
  readonly codes: Int8Array
  /** One for each block. */
  readonly scales: Float32Array
}

/**
 * Quantises values, whose number must be a multiple of `block`: the nearest integer to x / scale.
 */
export function quantizeInt8(values: Float32Array, block: number): Int8Blocks {
  const codes = new Int8Array(values.length)
  const scales = new Float32Array(values.length / block)
  for (let at = 0; at < scales.length; at++) {
    let largest = 0
    for (let i = at * block; i < (at + 1) * block; i++)
      largest = Math.max(largest, Math.abs(values[i]!))
    scales[at] = largest / 127
    const scale = scales[at]! || 1
    // A scale that was rounded down may ask for 127.5 and more.
    for (let i = at * block; i < (at + 1) * block; i++)
      codes[i] = Math.max(-127, Math.min(127, Math.round(values[i]! / scale)))
  }
  return { codes, scales }
}

/** The values: code·scale, in f32. */
export function dequantizeInt8({ codes, scales }: Int8Blocks): Float32Array {
  const block = codes.length / scales.length
  return Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / block)]!)
}
