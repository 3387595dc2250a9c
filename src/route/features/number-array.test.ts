import { describe, expect, it } from 'vitest'
import { FormatError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import {
  readIntegers,
  readNumbers,
  writeBytes,
  writeIntegers,
  writeNumbers,
} from './number-array.ts'

const { normal } = random(1)

describe('arrays of numbers in JSON', () => {
  it.each([0, 1, 2, 3, 4, 5, 1001])('are read as they were written, %i of them', (count) => {
    const values = Float32Array.from({ length: count }, normal)
    expect(readNumbers(writeNumbers(values, [count]), 1, 'x').data).toEqual(values)
    const half = readNumbers(writeNumbers(values, [count], 'f16'), 1, 'x').data
    expect([...half]).toEqual([...Float16Array.from(values)])
    const integers = Int32Array.from(values, (value) => Math.round(value * 1e6))
    expect(readIntegers(writeIntegers(integers), 'x')).toEqual(integers)
  })
  it('keep 8 bits a number, with a scale for each row', () => {
    const values = Float32Array.of(1, -2, 4, 0, 0, 0, 1e-3, 2e-3, -5e-4)
    const { data, shape } = readNumbers(writeBytes(values, [3, 3]), 2, 'x')
    expect(shape).toEqual([3, 3])
    values.forEach((value, i) => {
      const row = values.subarray(Math.floor(i / 3) * 3, Math.floor(i / 3) * 3 + 3)
      const most = Math.max(...row.map(Math.abs))
      expect(Math.abs(data[i]! - value)).toBeLessThanOrEqual(most / 254 + 1e-9)
    })
  })
  it('decode as the platform does', () => {
    for (let length = 0; length < 40; length++) {
      const values = Float32Array.from({ length }, normal)
      const { base64 } = writeNumbers(values, [length])
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
      expect(new Float32Array(bytes.buffer)).toEqual(values)
    }
  })
  it.each([
    [{ base64: 'AAA' }, /is not base64/],
    [{ base64: 'A*AAAA==' }, /is not base64/],
    [{ base64: 'AÄAAAA==' }, /is not base64/],
    [{ base64: 'AAAAAAAAAAA=' }, /has 8 bytes, expected 4/],
    [{ base64: 7 }, /got 7, expected base64/],
    [{ base64: 'AADAfw==' }, /not finite/],
    [{ shape: [1, 1] }, /a shape of 1 size/],
    [{ shape: [-1] }, /a shape of 1 size/],
    [{ dtype: 'f64' }, /a dtype/],
  ])('%j is refused', (change, message) => {
    const right = { dtype: 'f32', shape: [1], base64: 'AAAAAA==' }
    expect(readNumbers(right, 1, 'x').data).toEqual(Float32Array.of(0))
    const read = () => readNumbers(Object.assign({}, right, change), 1, 'x')
    expect(read).toThrow(FormatError)
    expect(read).toThrow(message)
  })
})
