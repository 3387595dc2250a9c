// The loops of learning at the head, in AssemblyScript for WebAssembly vectors. They fulfil the
// contract in src/learn/kernels/kernel.ts; scripts/kernels.mjs compiles them once with relaxed SIMD
// and once without. Addresses are in bytes. Nothing is checked here: src/learn checks before it calls.

function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(f32x4.mul(a, b), c)
}

const blockBytes: usize = 256

/** out[b] = max row[64b … 64b + 63]; returns the largest of all. */
export function maxima(row: usize, blocks: i32, out: usize): f32 {
  let all = f32x4.splat(-Infinity)
  for (let b = 0; b < blocks; b++) {
    let m0 = v128.load(row)
    let m1 = v128.load(row, 16)
    for (let at = row + 32; at < row + blockBytes; at += 32) {
      m0 = f32x4.pmax(m0, v128.load(at))
      m1 = f32x4.pmax(m1, v128.load(at, 16))
    }
    row += blockBytes
    m0 = f32x4.pmax(m0, m1)
    all = f32x4.pmax(all, m0)
    store<f32>(out + ((<usize>b) << 2), largestOf(m0))
  }
  return largestOf(all)
}

function largestOf(v: v128): f32 {
  const low = max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1))
  return max(low, max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)))
}

/** e^x for x ≤ 0, to 2e-7; 0 below −87. Cephes' polynomial. */
function exponential(x: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(<f32>Math.LOG2E)))
  let r = madd(n, f32x4.splat(-0.693359375), x)
  r = madd(n, f32x4.splat(2.1219444e-4), r)
  let p = madd(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.3981999507e-3))
  p = madd(p, r, f32x4.splat(8.3334519073e-3))
  p = madd(p, r, f32x4.splat(4.1665795894e-2))
  p = madd(p, r, f32x4.splat(1.6666665459e-1))
  p = madd(p, r, f32x4.splat(5.0000001201e-1))
  p = f32x4.add(madd(f32x4.mul(p, r), r, r), f32x4.splat(1))
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23)
  return v128.and(f32x4.mul(p, power), f32x4.ge(x, f32x4.splat(-87)))
}

/** values[i] = exp(values[i] − top), in place. */
export function exponentials(values: usize, blocks: i32, top: f32): void {
  const tops = f32x4.splat(top)
  for (const end = values + <usize>blocks * blockBytes; values < end; values += 16) {
    v128.store(values, exponential(f32x4.sub(v128.load(values), tops)))
  }
}

/** Σ exp(row[i] − top). Leaves out blocks whose maximum is more than `reach` below the top. */
export function sumOfExponentials(row: usize, blocks: i32, tops: usize, top: f32, reach: f32): f64 {
  const bar = top - reach
  const largest = f32x4.splat(top)
  let total = f64x2.splat(0)
  for (let b = 0; b < blocks; b++, row += blockBytes) {
    if (load<f32>(tops + ((<usize>b) << 2)) < bar) continue
    let s0 = f32x4.splat(0)
    let s1 = s0
    for (let at = row; at < row + blockBytes; at += 32) {
      s0 = f32x4.add(s0, exponential(f32x4.sub(v128.load(at), largest)))
      s1 = f32x4.add(s1, exponential(f32x4.sub(v128.load(at, 16), largest)))
    }
    s0 = f32x4.add(s0, s1)
    total = f64x2.add(total, f64x2.promote_low_f32x4(s0))
    total = f64x2.add(
      total,
      f64x2.promote_low_f32x4(
        i8x16.shuffle(s0, s0, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15),
      ),
    )
  }
  return f64x2.extract_lane(total, 0) + f64x2.extract_lane(total, 1)
}

function lanes(v: v128): i32 {
  return (
    i32x4.extract_lane(v, 0) +
    i32x4.extract_lane(v, 1) +
    (i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3))
  )
}

function dot(row: v128, query: usize, sum: v128): v128 {
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(row), v128.load(query))
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(row), v128.load(query, 16))
  return i32x4.add(sum, i32x4.add(low, high))
}

/**
 * sums[i] = rows[i]·query: rows of `stride` bytes, a multiple of 16, and a query of as many 16-bit
 * numbers.
 */
export function products(query: usize, rows: usize, count: i32, stride: i32, sums: usize): void {
  for (let i = 0; i < count; i++) {
    let sum = i32x4.splat(0)
    const end = rows + stride
    for (let q = query; rows < end; rows += 16, q += 32) sum = dot(v128.load(rows), q, sum)
    store<i32>(sums + ((<usize>i) << 2), lanes(sum))
  }
}

/** The same for four queries in sequence, so that each row is read once. sums: [4, count]. */
export function productsOfFour(
  queries: usize,
  rows: usize,
  count: i32,
  stride: i32,
  sums: usize,
): void {
  const next = (<usize>stride) << 1
  const sumsNext = (<usize>count) << 2
  for (let i = 0; i < count; i++, sums += 4) {
    let a = i32x4.splat(0)
    let b = a
    let c = a
    let d = a
    const end = rows + stride
    for (let q = queries; rows < end; rows += 16, q += 32) {
      const row = v128.load(rows)
      const low = i16x8.extend_low_i8x16_s(row)
      const high = i16x8.extend_high_i8x16_s(row)
      a = i32x4.add(
        a,
        i32x4.add(i32x4.dot_i16x8_s(low, v128.load(q)), i32x4.dot_i16x8_s(high, v128.load(q, 16))),
      )
      const r = q + next
      b = i32x4.add(
        b,
        i32x4.add(i32x4.dot_i16x8_s(low, v128.load(r)), i32x4.dot_i16x8_s(high, v128.load(r, 16))),
      )
      const s = r + next
      c = i32x4.add(
        c,
        i32x4.add(i32x4.dot_i16x8_s(low, v128.load(s)), i32x4.dot_i16x8_s(high, v128.load(s, 16))),
      )
      const t = s + next
      d = i32x4.add(
        d,
        i32x4.add(i32x4.dot_i16x8_s(low, v128.load(t)), i32x4.dot_i16x8_s(high, v128.load(t, 16))),
      )
    }
    store<i32>(sums, lanes(a))
    store<i32>(sums + sumsNext, lanes(b))
    store<i32>(sums + 2 * sumsNext, lanes(c))
    store<i32>(sums + 3 * sumsNext, lanes(d))
  }
}
