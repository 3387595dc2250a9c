// The kernels without WebAssembly: used if it is missing or forbidden, and as the reference for the
// others. Two rows at a time, four values in a step.

import type { Kernels } from './kernel.ts'

type Heap = Float32Array

/**
 * scale · (row·x), and the same of the row after it. Plain assignments: taking pairs apart costs
 * twice the time here.
 */
function computeTwoDots(
  h: Heap,
  row: number,
  x: number,
  n: number,
  scale: number,
  out: number,
): number {
  let a0 = 0
  let a1 = 0
  let b0 = 0
  let b1 = 0
  const next = row + n
  for (let i = 0; i < n; i += 2) {
    const x0 = h[x + i]!
    const x1 = h[x + i + 1]!
    a0 += h[row + i]! * x0
    a1 += h[row + i + 1]! * x1
    b0 += h[next + i]! * x0
    b1 += h[next + i + 1]! * x1
  }
  const a = scale * (a0 + a1)
  const b = scale * (b0 + b1)
  h[out] = a
  h[out + 1] = b
  return a * a + b * b
}

function computeDot(
  h: Heap,
  row: number,
  x: number,
  n: number,
  scale: number,
  out: number,
): number {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = 0; i < n; i += 4) {
    a += h[row + i]! * h[x + i]!
    b += h[row + i + 1]! * h[x + i + 1]!
    c += h[row + i + 2]! * h[x + i + 2]!
    d += h[row + i + 3]! * h[x + i + 3]!
  }
  const sum = scale * (a + b + (c + d))
  h[out] = sum
  return sum * sum
}

function project(
  h: Heap,
  rank: number,
  rows: number,
  x: number,
  n: number,
  scale: number,
  out: number,
): number {
  let squared = 0
  let r = 0
  for (; r + 1 < rank; r += 2) squared += computeTwoDots(h, rows + r * n, x, n, scale, out + r)
  if (r < rank) squared += computeDot(h, rows + r * n, x, n, scale, out + r)
  return squared
}

/** to += a·x */
function addScaled(h: Heap, to: number, a: number, x: number, n: number): void {
  for (let i = 0; i < n; i++) h[to + i] = h[to + i]! + a * h[x + i]!
}

/** to += a·first + b·second */
function addTwo(
  h: Heap,
  to: number,
  a: number,
  first: number,
  b: number,
  second: number,
  n: number,
): void {
  for (let i = 0; i < n; i++) h[to + i] = h[to + i]! + a * h[first + i]! + b * h[second + i]!
}

function expand(h: Heap, rank: number, rows: number, u: number, y: number, n: number): void {
  let r = 0
  for (; r + 1 < rank; r += 2) {
    const first = rows + r * n
    addTwo(h, y, h[u + r]!, first, h[u + r + 1]!, first + n, n)
  }
  if (r < rank) addScaled(h, y, h[u + r]!, rows + r * n, n)
}

function sumSquares(h: Heap, at: number, n: number): number {
  let a = 0
  let b = 0
  for (let i = at; i < at + n; i += 2) {
    a += h[i]! * h[i]!
    b += h[i + 1]! * h[i + 1]!
  }
  return a + b
}

// the range of f32: the compiled kernels also refuse sums beyond it
const largest = 3.4028234663852886e38

type Products = Pick<Kernels, 'forward' | 'subtract' | 'backward' | 'gather'>

const createProducts = (heap: () => Heap): Products => ({
  forward(rank, a, b, x, u, y, nIn, nOut, scale) {
    const h = heap()
    const squared = project(h, rank, a, x, nIn, scale, u)
    expand(h, rank, b, u, y, nOut)
    return squared
  },
  subtract(y, t, n) {
    const h = heap()
    for (let i = 0; i < n; i++) h[y + i]! -= h[t + i]!
  },
  backward(rank, a, b, ga, gb, gBias, x, u, e, nIn, nOut, scale) {
    const h = heap()
    const d = u + 16
    const low = project(h, rank, a, x, nIn, scale, u)
    const loss = 0.5 * sumSquares(h, e, nOut)
    const back = project(h, rank, b, e, nOut, scale, d)
    if (!(low + loss + back < largest)) return NaN
    for (let r = 0; r < rank; r++) {
      addScaled(h, gb + r * nOut, h[u + r]!, e, nOut)
      addScaled(h, ga + r * nIn, h[d + r]!, x, nIn)
    }
    if (gBias !== 0) addScaled(h, gBias, 1, e, nOut)
    return loss
  },
  gather(rows, places, weights, count, y, n) {
    const h = heap()
    let k = 0
    for (; k + 1 < count; k += 2) {
      const first = rows + h[places + k]! * n
      const second = rows + h[places + k + 1]! * n
      addTwo(h, y, h[weights + k]!, first, h[weights + k + 1]!, second, n)
    }
    if (k < count) addScaled(h, y, h[weights + k]!, rows + h[places + k]! * n, n)
  },
})

const createUpdates = (heap: () => Heap): Omit<Kernels, keyof Products> => ({
  squares: (at, n) => sumSquares(heap(), at, n),
  clear: (at, n) => void heap().fill(0, at, at + n),
  copy: (to, from, n) => void heap().copyWithin(to, from, from + n),
  average(m, g, n, keep, share) {
    const h = heap()
    for (let i = 0; i < n; i++) h[m + i] = keep * h[m + i]! + share * h[g + i]!
    h.fill(0, g, g + n)
    return sumSquares(h, m, n)
  },
  adam(g, m, v, n, k, beta1, beta2, correction1, correction2, epsilon) {
    const h = heap()
    for (let i = 0; i < n; i++) {
      const own = k * h[g + i]!
      const mean = beta1 * h[m + i]! + (1 - beta1) * own
      const square = beta2 * h[v + i]! + (1 - beta2) * own * own
      h[m + i] = mean
      h[v + i] = square
      h[g + i] = (correction1 * mean) / (Math.sqrt(correction2 * square) + epsilon)
    }
    return sumSquares(h, g, n)
  },
  watch(f, g, n, keep, share) {
    const h = heap()
    for (let i = 0; i < n; i++) h[f + i] = keep * h[f + i]! + share * h[g + i]! * h[g + i]!
  },
  move(w, d, n, keep, step) {
    const h = heap()
    for (let i = 0; i < n; i++) h[w + i] = keep * h[w + i]! - step * h[d + i]!
    return sumSquares(h, w, n)
  },
  pull(w, anchor, importance, n, strength) {
    const h = heap()
    for (let i = 0; i < n; i++) {
      const force = strength * h[importance + i]!
      h[w + i]! -= (force / (1 + force)) * (h[w + i]! - h[anchor + i]!)
    }
    return sumSquares(h, w, n)
  },
})

/** The plain kernels over the array that `heap` returns at the time of the call. */
export const createPlainMicroKernels = (heap: () => Heap): Kernels => ({
  ...createProducts(heap),
  ...createUpdates(heap),
})
