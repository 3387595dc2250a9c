// 16-bit and 8-bit floats as raw bits, to f32 and back, rounding to nearest even. Knows numbers
// only, no tensors.

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

let tables: { readonly f16: Float32Array; readonly e4m3: Float32Array } | undefined

/** The value of every f16 bit pattern: 65,536 entries, 256 KiB, built at first use. */
export const getF16Values = (): Float32Array => (tables ??= computeTables()).f16

/**
 * The value of every f8_e4m3 bit pattern (the `fn` variant: no infinities, 0x7f and 0xff are NaN;
 * arXiv:2209.05433).
 */
export const getE4m3Values = (): Float32Array => (tables ??= computeTables()).e4m3

function computeTables(): { f16: Float32Array; e4m3: Float32Array } {
  const f16 = Float32Array.from({ length: 0x10000 }, (_, bits) => {
    const value = decodeFloat(bits & 0x7fff, 10, 15)
    const finite = (bits & 0x7c00) !== 0x7c00
    return (
      (bits & 0x8000 ? -1 : 1) *
      (finite ? value : bits & 0x3ff ? Number.NaN : Number.POSITIVE_INFINITY)
    )
  })
  const e4m3 = Float32Array.from({ length: 0x100 }, (_, bits) =>
    (bits & 0x7f) === 0x7f ? Number.NaN : (bits & 0x80 ? -1 : 1) * decodeFloat(bits & 0x7f, 3, 7),
  )
  return { f16, e4m3 }
}

/** (1 + m/2^M)·2^(e−bias), or m/2^M·2^(1−bias) where e is 0. */
function decodeFloat(bits: number, mantissaBits: number, bias: number): number {
  const exponent = bits >> mantissaBits
  const mantissa = (bits & ((1 << mantissaBits) - 1)) / (1 << mantissaBits)
  return exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias)
}

/** The nearest f16's bits; ties to even, beyond 65,519 infinity, NaN stays NaN. */
export function toF16Bits(value: number): number {
  scratch[0] = value
  const bits = scratchBits[0]!
  const sign = (bits >>> 16) & 0x8000
  const size = bits & 0x7fffffff
  if (size >= 0x47800000) return sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00) // ≥ 2^16 or NaN
  if (size < 0x38800000) {
    // Below 2^-14 an f16 counts in steps of 2^-24, as an f32 does between 0.5 and 1: let the
    // addition round.
    scratch[0] = Math.abs(value) + 0.5
    return sign | (scratchBits[0]! - 0x3f000000)
  }
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
}

/** The nearest bf16's bits; ties to even, NaN stays NaN (ggml_compute_fp32_to_bf16). */
export function toBf16Bits(value: number): number {
  scratch[0] = value
  const bits = scratchBits[0]!
  // quiet, so that cutting the mantissa cannot make it infinite
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 64
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}
