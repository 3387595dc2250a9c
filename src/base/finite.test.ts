import { describe, expect, it } from 'vitest'
import { isAllFinite } from './finite.ts'

describe('allFinite', () => {
  it('is true of finite numbers, the largest and smallest among them, and of none', () => {
    expect(
      isAllFinite(
        new Float32Array([0, -0, 1, -3.4028234663852886e38, 3.4028234663852886e38, 1e-45, 7]),
      ),
    ).toBe(true)
    expect(isAllFinite(new Float32Array(0))).toBe(true)
  })
  it.each([NaN, Infinity, -Infinity])('finds a single %s at any place', (bad) => {
    for (let length = 1; length < 10; length++) {
      for (let at = 0; at < length; at++)
        expect(isAllFinite(new Float32Array(length).fill(2.5).fill(bad, at, at + 1))).toBe(false)
    }
  })
  it('finds infinities of both signs together', () => {
    expect(isAllFinite(new Float32Array([Infinity, -Infinity, Infinity, -Infinity]))).toBe(false)
  })
})
