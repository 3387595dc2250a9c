// The kernels of kernels/learn.ts in plain TypeScript: used where the platform has no SIMD, and as
// the reference in tests.

import type { GrowingMemory } from '../../base/wasm.ts'
import type { LearnKernels } from './kernel.ts'

export function createPlainKernels(memory: GrowingMemory): LearnKernels {
  const floats = (at: number, count: number): Float32Array =>
    new Float32Array(memory.buffer, at, count)
  const products: LearnKernels['products'] = (query, rows, count, stride, sums) => {
    const q = new Int16Array(memory.buffer, query, stride)
    const r = new Int8Array(memory.buffer, rows, count * stride)
    const s = new Int32Array(memory.buffer, sums, count)
    for (let i = 0, at = 0; i < count; i++, at += stride) {
      let sum = 0
      for (let j = 0; j < stride; j++) sum += r[at + j]! * q[j]!
      s[i] = sum
    }
  }
  return {
    maxima(row, blocks, out) {
      const values = floats(row, 64 * blocks)
      const results = floats(out, blocks)
      for (let b = 0; b < blocks; b++)
        results[b] = values
          .subarray(64 * b, 64 * b + 64)
          .reduce((most, x) => (x > most ? x : most), -Infinity)
      return results.reduce((most, x) => (x > most ? x : most), -Infinity)
    },
    exponentials(at, blocks, top) {
      const values = floats(at, 64 * blocks)
      for (let i = 0; i < values.length; i++) values[i] = Math.exp(values[i]! - top)
    },
    sumOfExponentials(row, blocks, maxima, top, reach) {
      const values = floats(row, 64 * blocks)
      const tops = floats(maxima, blocks)
      let sum = 0
      for (let b = 0; b < blocks; b++) {
        if (tops[b]! < Math.fround(top - reach)) continue
        for (let i = 64 * b; i < 64 * b + 64; i++) sum += Math.exp(values[i]! - top)
      }
      return sum
    },
    products,
    productsOfFour(queries, rows, count, stride, sums) {
      for (let q = 0; q < 4; q++)
        products(queries + 2 * stride * q, rows, count, stride, sums + 4 * count * q)
    },
  }
}
