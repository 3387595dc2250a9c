import { describe, expect, it } from 'vitest'
import { countWholePieces, planPieces } from './pieces.ts'

describe('planPieces', () => {
  it('cuts a cold prompt into pieces of one size and a rest', () => {
    expect(planPieces(600, 0, 256)).toEqual({ start: 0, pieces: [256, 256, 88] })
    expect(planPieces(512, 0, 256)).toEqual({ start: 0, pieces: [256, 256] })
    expect(planPieces(1, 0, 256)).toEqual({ start: 0, pieces: [1] })
  })
  it('takes whole blocks from the cache, but never the last token', () => {
    expect(planPieces(253, 240, 256)).toEqual({ start: 240, pieces: [13] })
    expect(planPieces(256, 256, 256)).toEqual({ start: 240, pieces: [16] })
    expect(planPieces(600, 95, 256)).toEqual({ start: 80, pieces: [256, 256, 8] })
  })
  it('reads at least two tokens at a time, where there are two', () => {
    expect(planPieces(257, 0, 256)).toEqual({ start: 0, pieces: [240, 17] })
    expect(planPieces(257, 256, 256)).toEqual({ start: 240, pieces: [17] })
    expect(planPieces(17, 16, 32)).toEqual({ start: 0, pieces: [17] })
  })
  it('gives a hit the pieces of a cold run where pieces count', () => {
    for (let length = 1; length < 400; length++) {
      const cold = planPieces(length, 0, 64, 64)
      for (let cached = 0; cached <= length; cached += 16) {
        const { start, pieces } = planPieces(length, cached, 64, 64)
        expect(cold.pieces.slice(cold.pieces.length - pieces.length)).toEqual(pieces)
        expect(start + pieces.reduce((sum, piece) => sum + piece, 0)).toBe(length)
        expect(start).toBeLessThanOrEqual(cached)
      }
    }
  })
  it('reads every token once, in pieces no longer than asked for', () => {
    for (let length = 1; length < 300; length += 7)
      for (let cached = 0; cached < 320; cached += 16) {
        const { start, pieces } = planPieces(length, cached, 48)
        expect(start % 16).toBe(0)
        expect(start + pieces.reduce((sum, piece) => sum + piece, 0)).toBe(length)
        expect(pieces.every((piece) => piece <= 48 && (piece > 1 || length === 1))).toBe(true)
      }
  })
  it('refuses pieces that are no whole blocks', () => {
    expect(() => planPieces(100, 0, 40)).toThrow('40')
  })
})

it('counts the pieces that a longer prompt begins with too', () => {
  expect(countWholePieces(600, 256)).toBe(512)
  expect(countWholePieces(257, 256)).toBe(0) // 240 and 17
  expect(countWholePieces(512, 256)).toBe(512)
  for (let length = 1; length < 300; length++) {
    const whole = countWholePieces(length, 32) / 32
    const longer = planPieces(length + 100, 0, 32).pieces
    expect(longer.slice(0, whole)).toEqual(new Array(whole).fill(32))
  }
})
