// MicroLoRA's loops, in AssemblyScript for WebAssembly vectors. They fulfil the contract in
// src/micro/kernels/kernel.ts; scripts/kernels.mjs compiles them once with relaxed SIMD and once
// without. Addresses count floats. Row lengths are multiples of 16, so that sums over all weights run
// in four chains at once, because a single chain waits for each addition. Nothing is checked here:
// src/micro checks before it calls.

// A rank as a type: only its size is read, at compile time, so that every loop over the rank is
// written out.
class One {
  a: u8
}
class Two {
  a: u8
  b: u8
}
class Three {
  a: u8
  b: u8
  c: u8
}
class Four {
  a: u8
  b: u8
  c: u8
  d: u8
}

function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c)
  return f32x4.add(f32x4.mul(a, b), c)
}

function sum(a: v128, b: v128): f32 {
  const c = f32x4.add(a, b)
  return (
    f32x4.extract_lane(c, 0) +
    f32x4.extract_lane(c, 1) +
    (f32x4.extract_lane(c, 2) + f32x4.extract_lane(c, 3))
  )
}

const zero = f32x4.splat(0)

/**
 * out[r] = scale · rows[r]·x for R rows of n floats; returns the sum of their squares. Addresses in
 * bytes.
 */
function projectRows<R>(rows: usize, x: usize, out: usize, n: usize, scale: f32): f32 {
  const row = n << 2
  const end = rows + row
  // prettier-ignore
  let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero
  for (let at = rows; at < end; at += 32, x += 32) {
    const x0 = v128.load(x)
    const x1 = v128.load(x, 16)
    a0 = madd(v128.load(at), x0, a0)
    a1 = madd(v128.load(at, 16), x1, a1)
    if (offsetof<R>() > 1) {
      b0 = madd(v128.load(at + row), x0, b0)
      b1 = madd(v128.load(at + row, 16), x1, b1)
    }
    if (offsetof<R>() > 2) {
      c0 = madd(v128.load(at + 2 * row), x0, c0)
      c1 = madd(v128.load(at + 2 * row, 16), x1, c1)
    }
    if (offsetof<R>() > 3) {
      d0 = madd(v128.load(at + 3 * row), x0, d0)
      d1 = madd(v128.load(at + 3 * row, 16), x1, d1)
    }
  }
  const a = scale * sum(a0, a1)
  store<f32>(out, a)
  let squared = a * a
  if (offsetof<R>() > 1) {
    const b = scale * sum(b0, b1)
    store<f32>(out, b, 4)
    squared += b * b
  }
  if (offsetof<R>() > 2) {
    const c = scale * sum(c0, c1)
    store<f32>(out, c, 8)
    squared += c * c
  }
  if (offsetof<R>() > 3) {
    const d = scale * sum(d0, d1)
    store<f32>(out, d, 12)
    squared += d * d
  }
  return squared
}

/** y += Σ_r u[r] · rows[r]. */
function expandRows<R>(rows: usize, u: usize, y: usize, n: usize): void {
  const row = n << 2
  const end = rows + row
  const a = v128.load32_splat(u)
  const b = v128.load32_splat(u, 4)
  const c = v128.load32_splat(u, 8)
  const d = v128.load32_splat(u, 12)
  for (let at = rows; at < end; at += 32, y += 32) {
    let y0 = madd(a, v128.load(at), v128.load(y))
    let y1 = madd(a, v128.load(at, 16), v128.load(y, 16))
    if (offsetof<R>() > 1) {
      y0 = madd(b, v128.load(at + row), y0)
      y1 = madd(b, v128.load(at + row, 16), y1)
    }
    if (offsetof<R>() > 2) {
      y0 = madd(c, v128.load(at + 2 * row), y0)
      y1 = madd(c, v128.load(at + 2 * row, 16), y1)
    }
    if (offsetof<R>() > 3) {
      y0 = madd(d, v128.load(at + 3 * row), y0)
      y1 = madd(d, v128.load(at + 3 * row, 16), y1)
    }
    v128.store(y, y0)
    v128.store(y, y1, 16)
  }
}

/** rows[r] += u[r] · x, one row at a time. */
function outerRow(at: usize, u: v128, x: usize, end: usize): void {
  for (; at < end; at += 32, x += 32) {
    v128.store(at, madd(u, v128.load(x), v128.load(at)))
    v128.store(at, madd(u, v128.load(x, 16), v128.load(at, 16)), 16)
  }
}

function project(rank: usize, rows: usize, x: usize, out: usize, n: usize, scale: f32): f32 {
  let squared: f32 = 0
  for (; rank > 4; rank -= 4, rows += n << 4, out += 16)
    squared += projectRows<Four>(rows, x, out, n, scale)
  if (rank === 1) return squared + projectRows<One>(rows, x, out, n, scale)
  if (rank === 2) return squared + projectRows<Two>(rows, x, out, n, scale)
  if (rank === 3) return squared + projectRows<Three>(rows, x, out, n, scale)
  return squared + projectRows<Four>(rows, x, out, n, scale)
}

function expand(rank: usize, rows: usize, u: usize, y: usize, n: usize): void {
  for (; rank > 4; rank -= 4, rows += n << 4, u += 16) expandRows<Four>(rows, u, y, n)
  if (rank === 1) return expandRows<One>(rows, u, y, n)
  if (rank === 2) return expandRows<Two>(rows, u, y, n)
  if (rank === 3) return expandRows<Three>(rows, u, y, n)
  expandRows<Four>(rows, u, y, n)
}

function outer(rank: usize, rows: usize, u: usize, x: usize, n: usize): void {
  const row = n << 2
  for (let r: usize = 0; r < rank; r++, rows += row)
    outerRow(rows, v128.load32_splat(u + (r << 2)), x, rows + row)
}

export function forward(
  rank: i32,
  a: usize,
  b: usize,
  x: usize,
  u: usize,
  y: usize,
  nIn: usize,
  nOut: usize,
  scale: f32,
): f32 {
  const squared = project(rank, a << 2, x << 2, u << 2, nIn, scale)
  expand(rank, b << 2, u << 2, y << 2, nOut)
  return squared
}

export function subtract(y: usize, t: usize, n: usize): void {
  y <<= 2
  t <<= 2
  const end = y + (n << 2)
  for (; y < end; y += 16, t += 16) v128.store(y, f32x4.sub(v128.load(y), v128.load(t)))
}

export function backward(
  rank: i32,
  a: usize,
  b: usize,
  ga: usize,
  gb: usize,
  gBias: usize,
  x: usize,
  u: usize,
  e: usize,
  nIn: usize,
  nOut: usize,
  scale: f32,
): f32 {
  const d = u + 16
  const low = project(rank, a << 2, x << 2, u << 2, nIn, scale)
  const loss: f32 = 0.5 * squares(e, nOut)
  const back = project(rank, b << 2, e << 2, d << 2, nOut, scale)
  if (!(low + loss + back < f32.MAX_VALUE)) return NaN
  outer(rank, gb << 2, u << 2, e << 2, nOut)
  outer(rank, ga << 2, d << 2, x << 2, nIn)
  if (gBias !== 0) outerRow(gBias << 2, f32x4.splat(1), e << 2, (gBias + nOut) << 2)
  return loss
}

/** The address of the row whose number is stored at `place`. */
function rowAt(rows: usize, place: usize, row: usize): usize {
  return rows + <usize>load<f32>(place) * row
}

export function gather(
  rows: usize,
  places: usize,
  weights: usize,
  count: i32,
  y: usize,
  n: usize,
): void {
  rows <<= 2
  places <<= 2
  weights <<= 2
  y <<= 2
  const row = n << 2
  const end = y + row
  for (; count > 3; count -= 4, places += 16, weights += 16) {
    const a = v128.load32_splat(weights)
    const b = v128.load32_splat(weights, 4)
    const c = v128.load32_splat(weights, 8)
    const d = v128.load32_splat(weights, 12)
    const toA = rowAt(rows, places, row) - y // distances: one place counts for all five
    const toB = rowAt(rows, places + 4, row) - y
    const toC = rowAt(rows, places + 8, row) - y
    const toD = rowAt(rows, places + 12, row) - y
    for (let at = y; at < end; at += 32) {
      let y0 = madd(a, v128.load(at + toA), v128.load(at))
      let y1 = madd(a, v128.load(at + toA, 16), v128.load(at, 16))
      y0 = madd(b, v128.load(at + toB), y0)
      y1 = madd(b, v128.load(at + toB, 16), y1)
      y0 = madd(c, v128.load(at + toC), y0)
      y1 = madd(c, v128.load(at + toC, 16), y1)
      y0 = madd(d, v128.load(at + toD), y0)
      y1 = madd(d, v128.load(at + toD, 16), y1)
      v128.store(at, y0)
      v128.store(at, y1, 16)
    }
  }
  for (; count > 0; count--, places += 4, weights += 4)
    outerRow(y, v128.load32_splat(weights), rowAt(rows, places, row), end)
}

export function squares(at: usize, n: usize): f32 {
  at <<= 2
  const end = at + (n << 2)
  let a = zero
  let b = zero
  let c = zero
  let d = zero
  for (; at < end; at += 64) {
    const v0 = v128.load(at)
    const v1 = v128.load(at, 16)
    const v2 = v128.load(at, 32)
    const v3 = v128.load(at, 48)
    a = madd(v0, v0, a)
    b = madd(v1, v1, b)
    c = madd(v2, v2, c)
    d = madd(v3, v3, d)
  }
  return sum(f32x4.add(a, b), f32x4.add(c, d))
}

export function clear(at: usize, n: usize): void {
  memory.fill(at << 2, 0, n << 2)
}

export function copy(to: usize, from: usize, n: usize): void {
  memory.copy(to << 2, from << 2, n << 2)
}

// What a sweep over all weights does with each vector, as a type like the ranks. Sweeps differ only
// in this.
class Average {
  a: u8
}
class Move {
  a: u8
  b: u8
}
class Pull {
  a: u8
  b: u8
  c: u8
}

/**
 * `p` and `q` are what `average`, `move` and `pull` name below; `third` is read by `pull` alone.
 */
function updated<K>(at: usize, other: usize, third: usize, p: v128, q: v128): v128 {
  const own = v128.load(at)
  const by = v128.load(other)
  let next: v128
  if (offsetof<K>() === 1) {
    next = madd(p, own, f32x4.mul(q, by))
    v128.store(other, zero)
  } else if (offsetof<K>() === 2) {
    next = f32x4.sub(f32x4.mul(p, own), f32x4.mul(q, by))
  } else {
    const force = f32x4.mul(p, v128.load(third))
    const share = f32x4.div(force, f32x4.add(f32x4.splat(1), force))
    next = f32x4.sub(own, f32x4.mul(share, f32x4.sub(own, by)))
  }
  v128.store(at, next)
  return next
}

/** Updates n floats and returns the sum of their squares. */
function sweep<K>(at: usize, other: usize, third: usize, n: usize, first: f32, second: f32): f32 {
  at <<= 2
  other <<= 2
  third <<= 2
  const end = at + (n << 2)
  const p = f32x4.splat(first)
  const q = f32x4.splat(second)
  let a = zero
  let b = zero
  let c = zero
  let d = zero
  for (; at < end; at += 64, other += 64, third += 64) {
    const v0 = updated<K>(at, other, third, p, q)
    const v1 = updated<K>(at + 16, other + 16, third + 16, p, q)
    const v2 = updated<K>(at + 32, other + 32, third + 32, p, q)
    const v3 = updated<K>(at + 48, other + 48, third + 48, p, q)
    a = madd(v0, v0, a)
    b = madd(v1, v1, b)
    c = madd(v2, v2, c)
    d = madd(v3, v3, d)
  }
  return sum(f32x4.add(a, b), f32x4.add(c, d))
}

export function average(m: usize, g: usize, n: usize, keep: f32, share: f32): f32 {
  return sweep<Average>(m, g, 0, n, keep, share)
}

export function move(w: usize, d: usize, n: usize, keep: f32, step: f32): f32 {
  return sweep<Move>(w, d, 0, n, keep, step)
}

export function pull(w: usize, anchor: usize, importance: usize, n: usize, strength: f32): f32 {
  return sweep<Pull>(w, anchor, importance, n, strength, 0)
}

export function adam(
  g: usize,
  m: usize,
  v: usize,
  n: usize,
  k: f32,
  beta1: f32,
  beta2: f32,
  correction1: f32,
  correction2: f32,
  epsilon: f32,
): f32 {
  g <<= 2
  m <<= 2
  v <<= 2
  const end = m + (n << 2)
  let total = zero
  for (; m < end; m += 16, g += 16, v += 16) {
    const own = f32x4.mul(f32x4.splat(k), v128.load(g))
    const mean = madd(f32x4.splat(beta1), v128.load(m), f32x4.mul(f32x4.splat(1 - beta1), own))
    const square = madd(
      f32x4.splat(beta2),
      v128.load(v),
      f32x4.mul(f32x4.splat(1 - beta2), f32x4.mul(own, own)),
    )
    const below = f32x4.add(
      f32x4.sqrt(f32x4.mul(f32x4.splat(correction2), square)),
      f32x4.splat(epsilon),
    )
    const direction = f32x4.div(f32x4.mul(f32x4.splat(correction1), mean), below)
    v128.store(m, mean)
    v128.store(v, square)
    v128.store(g, direction)
    total = madd(direction, direction, total)
  }
  return sum(total, zero)
}

export function watch(f: usize, g: usize, n: usize, keep: f32, share: f32): void {
  f <<= 2
  g <<= 2
  const end = f + (n << 2)
  for (; f < end; f += 16, g += 16) {
    const own = v128.load(g)
    v128.store(
      f,
      madd(f32x4.splat(keep), v128.load(f), f32x4.mul(f32x4.splat(share), f32x4.mul(own, own))),
    )
  }
}
