// The plain twin of kernels/learn.ts: what runs where the platform has no vectors, and what the vectors are compared with.

import type { LearnKernels } from './kernel.ts'

export function plainKernels(memory: () => ArrayBuffer): LearnKernels {
  const floats = (at: number, count: number): Float32Array => new Float32Array(memory(), at, count)
  const products: LearnKernels['products'] = (query, rows, count, stride, sums) => {
    const [q, r, s] = [new Int16Array(memory(), query, stride), new Int8Array(memory(), rows, count * stride), new Int32Array(memory(), sums, count)] // prettier-ignore
    for (let i = 0, at = 0; i < count; i++, at += stride) {
      let sum = 0
      for (let j = 0; j < stride; j++) sum += r[at + j]! * q[j]!
      s[i] = sum
    }
  }
  return {
    maxima(row, blocks, out) {
      const [values, results] = [floats(row, 64 * blocks), floats(out, blocks)]
      for (let b = 0; b < blocks; b++)
        results[b] = values.subarray(64 * b, 64 * b + 64).reduce((most, x) => (x > most ? x : most), -Infinity)
      return results.reduce((most, x) => (x > most ? x : most), -Infinity)
    },
    exponentials(at, blocks, top) {
      const values = floats(at, 64 * blocks)
      for (let i = 0; i < values.length; i++) values[i] = Math.exp(values[i]! - top)
    },
    sumOfExponentials(row, blocks, maxima, top, reach) {
      const [values, tops] = [floats(row, 64 * blocks), floats(maxima, blocks)]
      let sum = 0
      for (let b = 0; b < blocks; b++) {
        if (tops[b]! < Math.fround(top - reach)) continue
        for (let i = 64 * b; i < 64 * b + 64; i++) sum += Math.exp(values[i]! - top)
      }
      return sum
    },
    products,
    productsOfFour(queries, rows, count, stride, sums) {
      for (let q = 0; q < 4; q++) products(queries + 2 * stride * q, rows, count, stride, sums + 4 * count * q)
    },
  }
}
