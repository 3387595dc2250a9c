// The plain twin of kernels/packed.ts: runs on platforms without SIMD, and is the reference for the
// SIMD kernels.

import type { GrowingMemory } from '../../base/wasm.ts'
import { getF16Values } from '../../formats/half.ts'
import type { PackedKernels } from './kernel.ts'

export function createPlainKernels(memory: GrowingMemory): PackedKernels {
  const floats = (at: number, count: number): Float32Array =>
    new Float32Array(memory.buffer, at, count)
  const halves = (at: number, count: number): Uint16Array =>
    new Uint16Array(memory.buffer, at, count)
  /** The scales of blocks: a bf16 is the upper half of an f32. */
  const readScales = (at: number, count: number): Float32Array =>
    new Float32Array(Uint32Array.from(halves(at, count), (bits) => bits << 16).buffer)
  return {
    unpack8(at, scaleAt, blocks, out, factor) {
      const codes = new Int8Array(memory.buffer, at, 64 * blocks)
      const scales = readScales(scaleAt, blocks)
      const values = floats(out, codes.length)
      for (let i = 0; i < codes.length; i++)
        values[i] = Math.fround(scales[i >> 6]! * codes[i]!) * factor
    },
    unpack4(at, scaleAt, blocks, out, factor) {
      const codes = new Uint8Array(memory.buffer, at, 32 * blocks)
      const scales = readScales(scaleAt, blocks)
      const values = floats(out, 64 * blocks)
      for (let i = 0; i < values.length; i++) {
        const code = ((codes[i >> 1]! >> (4 * (i & 1))) & 15) - 8
        values[i] = Math.fround(scales[i >> 6]! * code) * factor
      }
    },
    unpackF16(at, blocks, out, factor) {
      const bits = halves(at, 64 * blocks)
      const values = floats(out, bits.length)
      const table = getF16Values()
      for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]! * factor
    },
    unpackBf16(at, blocks, out, factor) {
      const own = readScales(at, 64 * blocks)
      const values = floats(out, own.length)
      for (let i = 0; i < own.length; i++) values[i] = own[i]! * factor
    },
    multiply(matrix, rows, columns, x, count, out, outBytes, scale) {
      const m = floats(matrix, rows * columns)
      const xs = floats(x, count * columns)
      for (let t = 0; t < count; t++) {
        const y = floats(out + t * outBytes, rows)
        for (let i = 0; i < rows; i++) {
          let sum = 0
          for (let c = 0; c < columns; c++) sum += m[i * columns + c]! * xs[t * columns + c]!
          y[i]! += scale * sum
        }
      }
    },
  }
}
