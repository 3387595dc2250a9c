import { describe, expect, it } from 'vitest'
import { clipByGlobalNorm, computeGlobalNorm } from './clip.ts'

const gradients = (...rows: number[][]) =>
  new Map(rows.map((row, i) => [String(i), { data: Float32Array.from(row) }]))

describe('clipByGlobalNorm', () => {
  it('scales all gradients together, as torch does', () => {
    const given = gradients([3, 4], [12])
    expect(clipByGlobalNorm(given, 2)).toBe(13)
    const [a, b] = [...given.values()]
    expect(a!.data[0]).toBeCloseTo(0.4615384340286255, 7)
    expect(a!.data[1]).toBeCloseTo(0.615384578704834, 7)
    expect(b!.data[0]).toBeCloseTo(1.846153736114502, 6)
  })
  it('leaves gradients below the bound as they are', () => {
    const given = gradients([3, 4])
    expect(clipByGlobalNorm(given, 6)).toBe(5)
    expect([...given.get('0')!.data]).toEqual([3, 4])
  })
  it('tells of NaN and infinity, and leaves the numbers alone with NaN', () => {
    const given = gradients([1, NaN], [2])
    expect(clipByGlobalNorm(given, 1)).toBeNaN()
    expect(given.get('1')!.data[0]).toBe(2)
    expect(computeGlobalNorm(gradients([Infinity]))).toBe(Infinity)
  })
})
