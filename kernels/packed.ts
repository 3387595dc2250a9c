// Packed adapter tensors to f32, and products with their rows, in AssemblyScript for WebAssembly
// vectors. They fulfil the contract in src/adapters/packed/kernel.ts; scripts/kernels.mjs compiles
// them once with relaxed SIMD and once without. Unpacking rounds as the plain twin does, to the bit.
// Addresses are in bytes. Nothing is checked here: src/adapters/packed checks before it calls.

function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(f32x4.mul(a, b), c)
}

/** A bf16 is the upper half of an f32. */
function loadScale(at: usize): v128 {
  return i32x4.shl(i32x4.splat(<i32>load<u16>(at)), 16)
}

/** Four values from four codes; code·scale is exact in f32, so only the factor rounds. */
function storeFour(out: usize, codes: v128, scale: v128, factor: v128): void {
  v128.store(out, f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(codes), scale), factor))
}

function storeSixteen(out: usize, codes: v128, scale: v128, factor: v128): void {
  const low = i16x8.extend_low_i8x16_s(codes)
  const high = i16x8.extend_high_i8x16_s(codes)
  storeFour(out, i32x4.extend_low_i16x8_s(low), scale, factor)
  storeFour(out + 16, i32x4.extend_high_i16x8_s(low), scale, factor)
  storeFour(out + 32, i32x4.extend_low_i16x8_s(high), scale, factor)
  storeFour(out + 48, i32x4.extend_high_i16x8_s(high), scale, factor)
}

/** out = factor·scale·code for blocks of 64 codes of a byte each. */
export function unpack8(codes: usize, scales: usize, blocks: i32, out: usize, factor: f32): void {
  const factors = f32x4.splat(factor)
  for (; blocks > 0; blocks--, scales += 2) {
    const scale = loadScale(scales)
    for (const end = codes + 64; codes < end; codes += 16, out += 64)
      storeSixteen(out, v128.load(codes), scale, factors)
  }
}

/** The same with two codes a byte, the first in the low half, each stored as code + 8. */
export function unpack4(codes: usize, scales: usize, blocks: i32, out: usize, factor: f32): void {
  const factors = f32x4.splat(factor)
  const lowHalf = i8x16.splat(15)
  const eight = i8x16.splat(8)
  for (; blocks > 0; blocks--, scales += 2) {
    const scale = loadScale(scales)
    for (const end = codes + 32; codes < end; codes += 16, out += 128) {
      const both = v128.load(codes)
      const first = i8x16.sub(v128.and(both, lowHalf), eight)
      const second = i8x16.sub(i8x16.shr_u(both, 4), eight)
      storeSixteen(
        out,
        i8x16.shuffle(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
        scale,
        factors,
      )
      storeSixteen(
        out + 64,
        i8x16.shuffle(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
        scale,
        factors,
      )
    }
  }
}

/** f16 with their sign extended, as f32 that are 2^112 times too small; subnormal ones as well. */
function moveF16(bits: v128): v128 {
  return v128.and(i32x4.shl(bits, 13), i32x4.splat(0x8fffe000))
}

/** factor · four f16 that may be infinity and NaN, whose exponent is all ones. */
function decodeAnyF16(bits: v128, factor: v128): v128 {
  const special = i32x4.eq(v128.and(bits, i32x4.splat(0x7c00)), i32x4.splat(0x7c00))
  const value = f32x4.mul(moveF16(bits), i32x4.splat(0x77800000))
  return f32x4.mul(v128.or(value, v128.and(special, i32x4.splat(0x7f800000))), factor)
}

function unpackAnyF16(bits: usize, out: usize, factor: v128): void {
  for (const end = bits + 128; bits < end; bits += 16, out += 32) {
    const eight = v128.load(bits)
    v128.store(out, decodeAnyF16(i32x4.extend_low_i16x8_s(eight), factor))
    v128.store(out, decodeAnyF16(i32x4.extend_high_i16x8_s(eight), factor), 16)
  }
}

/** out = factor·value for blocks of 64 f16. Blocks without infinity and NaN take one product. */
export function unpackF16(bits: usize, blocks: i32, out: usize, factor: f32): void {
  const raised = factor * <f32>5192296858534827628530496329220096.0 // 2^112, infinite from 2^16 on
  const plain = abs<f32>(raised) < <f32>Infinity
  const factors = f32x4.splat(raised)
  const sign = i16x8.splat(0x7fff)
  for (; blocks > 0; blocks--) {
    let largest = i16x8.splat(0)
    const first = out
    for (const end = bits + 128; bits < end; bits += 16, out += 32) {
      const eight = v128.load(bits)
      largest = i16x8.max_s(largest, v128.and(eight, sign))
      v128.store(out, f32x4.mul(moveF16(i32x4.extend_low_i16x8_s(eight)), factors))
      v128.store(out, f32x4.mul(moveF16(i32x4.extend_high_i16x8_s(eight)), factors), 16)
    }
    if (!plain || v128.any_true(i16x8.ge_s(largest, i16x8.splat(0x7c00))))
      unpackAnyF16(bits - 128, first, f32x4.splat(factor))
  }
}

/** out = factor·value for blocks of 64 bf16. */
export function unpackBf16(bits: usize, blocks: i32, out: usize, factor: f32): void {
  const factors = f32x4.splat(factor)
  for (const end = bits + ((<usize>blocks) << 7); bits < end; bits += 16, out += 32) {
    const eight = v128.load(bits)
    const low = i32x4.shl(i32x4.extend_low_i16x8_u(eight), 16)
    const high = i32x4.shl(i32x4.extend_high_i16x8_u(eight), 16)
    v128.store(out, f32x4.mul(low, factors))
    v128.store(out, f32x4.mul(high, factors), 16)
  }
}

/** The sums of the lanes of four vectors, as one vector. */
function sumLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(
    i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  ) // a0+a2, b0+b2, a1+a3, b1+b3
  const cd = f32x4.add(
    i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
    i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31),
  )
  return f32x4.add(
    i8x16.shuffle(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
    i8x16.shuffle(ab, cd, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31),
  )
}

/** The products of four rows' last columns, which fill no vector, with x; added to the sums. */
function multiplyRest(row: usize, end: usize, rowBytes: usize, x: usize, sums: v128): v128 {
  for (; row < end; row += 4, x += 4) {
    let column = f32x4.splat(load<f32>(row))
    column = f32x4.replace_lane(column, 1, load<f32>(row + rowBytes))
    column = f32x4.replace_lane(column, 2, load<f32>(row + 2 * rowBytes))
    column = f32x4.replace_lane(column, 3, load<f32>(row + 3 * rowBytes))
    sums = madd(column, v128.load32_splat(x), sums)
  }
  return sums
}

function addFour(out: usize, sums: v128, scale: f32): void {
  v128.store(out, madd(f32x4.splat(scale), sums, v128.load(out)))
}

/** out[0 … 3] += scale · four rows · x */
function multiplyFour(row: usize, rowBytes: usize, x: usize, out: usize, scale: f32): void {
  let a = f32x4.splat(0)
  let b = a
  let c = a
  let d = a
  const vectorEnd = row + (rowBytes & ~15)
  const end = row + rowBytes
  const row2 = rowBytes << 1
  const row3 = row2 + rowBytes
  for (; row < vectorEnd; row += 16, x += 16) {
    const xs = v128.load(x)
    a = madd(v128.load(row), xs, a)
    b = madd(v128.load(row + rowBytes), xs, b)
    c = madd(v128.load(row + row2), xs, c)
    d = madd(v128.load(row + row3), xs, d)
  }
  addFour(out, multiplyRest(row, end, rowBytes, x, sumLanes(a, b, c, d)), scale)
}

/** The same for the vectors at x and `rowBytes` further; their outs are `outBytes` apart. */
function multiplyFourByTwo(
  row: usize,
  rowBytes: usize,
  x: usize,
  out: usize,
  outBytes: usize,
  scale: f32,
): void {
  let a = f32x4.splat(0)
  let b = a
  let c = a
  let d = a
  let e = a
  let f = a
  let g = a
  let h = a
  const vectorEnd = row + (rowBytes & ~15)
  const end = row + rowBytes
  const row2 = rowBytes << 1
  const row3 = row2 + rowBytes
  for (; row < vectorEnd; row += 16, x += 16) {
    const xs = v128.load(x)
    const ys = v128.load(x + rowBytes)
    let values = v128.load(row)
    a = madd(values, xs, a)
    e = madd(values, ys, e)
    values = v128.load(row + rowBytes)
    b = madd(values, xs, b)
    f = madd(values, ys, f)
    values = v128.load(row + row2)
    c = madd(values, xs, c)
    g = madd(values, ys, g)
    values = v128.load(row + row3)
    d = madd(values, xs, d)
    h = madd(values, ys, h)
  }
  addFour(out, multiplyRest(row, end, rowBytes, x, sumLanes(a, b, c, d)), scale)
  const second = sumLanes(e, f, g, h)
  addFour(out + outBytes, multiplyRest(row, end, rowBytes, x + rowBytes, second), scale)
}

/** out[0] += scale · row · x */
function multiplyOne(row: usize, rowBytes: usize, x: usize, out: usize, scale: f32): void {
  let a = f32x4.splat(0)
  const vectorEnd = row + (rowBytes & ~15)
  const end = row + rowBytes
  for (; row < vectorEnd; row += 16, x += 16) a = madd(v128.load(row), v128.load(x), a)
  let sum = f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 2)
  sum += f32x4.extract_lane(a, 1) + f32x4.extract_lane(a, 3)
  for (; row < end; row += 4, x += 4) sum += load<f32>(row) * load<f32>(x)
  store<f32>(out, load<f32>(out) + scale * sum)
}

/**
 * out[t, i] += scale · Σ_c matrix[i, c] · x[t, c] for all rows i of a tile and `count` vectors x
 * [count, columns]; `outBytes` from one row of out to the next.
 */
export function multiply(
  matrix: usize,
  rows: i32,
  columns: i32,
  x: usize,
  count: i32,
  out: usize,
  outBytes: usize,
  scale: f32,
): void {
  const rowBytes = (<usize>columns) << 2
  for (; rows >= 4; rows -= 4, matrix += rowBytes << 2, out += 16) {
    let at = x
    let to = out
    for (let pairs = count >> 1; pairs > 0; pairs--, at += 2 * rowBytes, to += 2 * outBytes)
      multiplyFourByTwo(matrix, rowBytes, at, to, outBytes, scale)
    if (count & 1) multiplyFour(matrix, rowBytes, at, to, scale)
  }
  for (; rows > 0; rows--, matrix += rowBytes, out += 4)
    for (let t: i32 = 0, at = x, to = out; t < count; t++, at += rowBytes, to += outBytes)
      multiplyOne(matrix, rowBytes, at, to, scale)
}
