import { describe, expect, it } from 'vitest'
import { ShapeError } from '../base/errors.ts'
import { f32, fromBytes, i64, type Tensor } from '../base/tensor.ts'
import { fromFloat32, isExactInFloat32, toFloat32 } from './convert.ts'

const bits16 = (dtype: 'f16' | 'bf16', ...bits: number[]): Tensor => ({
  dtype,
  shape: [bits.length],
  data: Uint16Array.from(bits),
})
const bits8 = (dtype: 'f8_e4m3' | 'f8_e5m2', ...bits: number[]): Tensor => ({
  dtype,
  shape: [bits.length],
  data: Uint8Array.from(bits),
})

describe('toFloat32', () => {
  it('gives f32 back without a copy', () => {
    const tensor = f32([2], [1, 2])
    expect(toFloat32(tensor)).toBe(tensor.data)
  })

  it('f16, all patterns, as the platform’s Float16Array reads them', () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i)
    expect(toFloat32({ dtype: 'f16', shape: [bits.length], data: bits })).toEqual(
      new Float32Array(new Float16Array(bits.buffer)),
    )
  })

  it('bf16 is the upper half of an f32', () => {
    expect([...toFloat32(bits16('bf16', 0x3f80, 0xc040, 0x0001, 0x7f80, 0x7fc0))]).toEqual([
      1,
      -3,
      2 ** -133,
      Infinity,
      NaN,
    ])
  })

  it('f8_e4m3: largest 448, smallest 2^-9, no infinity', () => {
    expect([
      ...toFloat32(bits8('f8_e4m3', 0x38, 0x7e, 0xfe, 0x01, 0x08, 0x80, 0x7f, 0xff)),
    ]).toEqual([1, 448, -448, 2 ** -9, 2 ** -6, -0, NaN, NaN])
  })

  it('f8_e5m2: largest 57344, smallest 2^-16, infinities', () => {
    expect([...toFloat32(bits8('f8_e5m2', 0x3c, 0x7b, 0x01, 0xfc, 0x7d))]).toEqual([
      1,
      57344,
      2 ** -16,
      -Infinity,
      NaN,
    ])
  })

  it.each([
    ['f64', new Float64Array([0.1, -2]), [Math.fround(0.1), -2]],
    ['i8', Int8Array.of(-128, 127), [-128, 127]],
    ['u8', Uint8Array.of(0, 255), [0, 255]],
    ['i16', Int16Array.of(-32768, 7), [-32768, 7]],
    ['u16', Uint16Array.of(0, 65535), [0, 65535]],
    ['i32', Int32Array.of(-(2 ** 31), 16777217), [-(2 ** 31), 16777216]],
    ['u32', Uint32Array.of(2 ** 32 - 256, 1), [2 ** 32 - 256, 1]],
    ['i64', i64([2], [-5, 6]).data, [-5, 6]],
    ['u64', BigUint64Array.of(5n, 2n ** 40n), [5, 2 ** 40]],
    ['bool', Uint8Array.of(0, 2), [0, 1]],
  ] as const)('%s', (dtype, data, expected) => {
    expect([...toFloat32({ dtype, shape: [2], data })]).toEqual(expected)
  })

  it('block types by their shape', () => {
    const block = Uint8Array.from({ length: 34 }, (_, i) => (i === 1 ? 0x3c : i)) // scale 1
    const values = toFloat32(fromBytes('q8_0', [1, 32], block))
    expect([...values.subarray(0, 3)]).toEqual([2, 3, 4])
    expect(() => toFloat32(fromBytes('q8_0', [2, 32], block))).toThrow(ShapeError)
  })
})

describe('fromFloat32', () => {
  it('gives f32 back without a copy', () => {
    const values = new Float32Array(3)
    expect(fromFloat32(values, 'f32')).toBe(values)
  })

  it('rounds to f16 as the platform’s Float16Array does, for many patterns', () => {
    // spread over all f32 patterns
    const bits = Uint32Array.from({ length: 200_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0)
    const values = new Float32Array(bits.buffer)
    const got = fromFloat32(values, 'f16')
    const expected = new Uint16Array(new Float16Array(values).buffer)
    const differing = got.findIndex((value, i) => value !== expected[i] && !Number.isNaN(values[i]))
    expect(differing).toBe(-1)
    const back = toFloat32({ dtype: 'f16', shape: [got.length], data: got })
    expect(values.every((value, i) => Number.isNaN(value) === Number.isNaN(back[i]))).toBe(true)
  })

  it('rounds ties to even at the edges of f16', () => {
    const edges = [
      65519,
      65520,
      -65520,
      2 ** -25,
      1.5 * 2 ** -24,
      2 ** -14 - 2 ** -26,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      -0,
    ]
    expect([...fromFloat32(Float32Array.from(edges), 'f16')]).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0, 2, 0x400, 0x3c00, 0x3c02, 0x8000,
    ])
  })

  it('rounds ties to even in bf16 and keeps NaN', () => {
    const values = new Float32Array(
      Uint32Array.of(
        0x3f808000,
        0x3f818000,
        0x3f808001,
        0x7f7fffff,
        0x7f800001,
        0xff800000,
        0x80000000,
      ).buffer,
    )
    expect([...fromFloat32(values, 'bf16')]).toEqual([
      0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0, 0xff80, 0x8000,
    ])
  })

  it('every f16 and bf16 value survives the way there and back', () => {
    for (const dtype of ['f16', 'bf16'] as const) {
      const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i)
      const values = toFloat32({ dtype, shape: [bits.length], data: bits })
      const back = fromFloat32(values, dtype)
      expect(bits.findIndex((value, i) => !Number.isNaN(values[i]) && back[i] !== value)).toBe(-1)
    }
  })
})

it('reports which types lose nothing as f32', () => {
  expect(isExactInFloat32('bf16')).toBe(true)
  expect(isExactInFloat32('i32')).toBe(false)
})
