import { describe, expect, it } from 'vitest'
import type { History } from '../history.ts'
import { drawLossCurve, smoothValues, computeTicks } from './loss-curve.ts'

const historyOf = (losses: number[], validations: [number, number][] = []): History => ({
  steps: losses.map((loss, i) => ({ step: i + 1, loss, learningRate: 1e-3, gradientNorm: 1 })),
  validations: validations.map(([step, loss]) => ({ step, loss })),
})

/** Numbers of a path's points. */
const pointsOf = (svg: string, name: string): number[][] =>
  [
    ...(new RegExp(`<path class="${name}" d="(M[^"]*)"/>`).exec(svg)?.[1] ?? '').matchAll(
      /[ML]([\d.-]+) ([\d.-]+)/g,
    ),
  ].map(([, x, y]) => [Number(x), Number(y)])

describe('ticks', () => {
  it('are round and within the range', () => {
    expect(computeTicks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10])
    expect(computeTicks(0.31, 0.69, 4)).toEqual([0.4, 0.5, 0.6])
    expect(computeTicks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3])
  })
})

describe('smoothed', () => {
  it('is the centred mean around each value, and does not lag behind a falling line', () => {
    expect(smoothValues([4, 0, 4, 0, 4], 1)).toEqual([4, 8 / 3, 4 / 3, 8 / 3, 4])
    expect(smoothValues([5, 4, 3, 2, 1], 3)).toEqual([5, 4, 3, 2, 1])
    expect(smoothValues([], 3)).toEqual([])
  })
})

describe('drawLossCurve', () => {
  it('draws every step left to right and lower losses lower', () => {
    const points = pointsOf(drawLossCurve(historyOf([4, 3, 2, 1])), 'raw')
    expect(points).toHaveLength(4)
    for (let i = 1; i < 4; i++) {
      expect(points[i]![0]).toBeGreaterThan(points[i - 1]![0]!)
      expect(points[i]![1]).toBeGreaterThan(points[i - 1]![1]!) // y counts downwards
    }
  })
  it('shows validation as dots with their numbers, and names it only where there is some', () => {
    const svg = drawLossCurve(
      historyOf(
        [4, 3, 2, 1],
        [
          [2, 3.5],
          [4, 1.25],
        ],
      ),
    )
    expect(svg.match(/<title>/g)).toHaveLength(2)
    expect(svg).toContain('<title>step 2: 3.5000</title>')
    expect(svg).toContain('<title>step 4: 1.2500, the best</title>')
    const [best, last] = [/class="best" cx="([\d.]+)"/, /cx="([\d.]+)"[^>]*><title>step 4/].map(
      (pattern) => pattern.exec(svg)?.[1],
    )
    expect(best).toBe(last)
    expect(svg).toContain('>validation<')
    expect(drawLossCurve(historyOf([1]))).not.toContain('>validation<')
  })
  it('shows the learning rate below, from nothing to its highest', () => {
    const { steps } = historyOf([4, 3, 2, 1])
    const svg = drawLossCurve({
      steps: steps.map((row, i) => ({ ...row, learningRate: [0, 2e-3, 1e-3, 5e-4][i]! })),
      validations: [],
    })
    const heights = pointsOf(`${svg}<`, 'rate').map(([, y]) => y!)
    const zero = heights[0]!
    const highest = heights[1]!
    expect(heights.map((y) => (zero - y) / (zero - highest))).toEqual([0, 1, 0.5, 0.25])
    expect(svg).toContain('>2e-3</text>')
    expect(Math.min(...heights)).toBeGreaterThan(
      Math.max(...pointsOf(svg, 'raw').map(([, y]) => y!)),
    )
  })
  it('stays within the picture for odd histories', () => {
    for (const history of [
      historyOf([]),
      historyOf([2]),
      historyOf([1, 1, 1]),
      historyOf([0, 0]),
      historyOf([5, NaN, Infinity, 4]),
      historyOf([1e-6, 3e-6]),
    ]) {
      const svg = drawLossCurve(history)
      expect(svg).not.toMatch(/NaN|Infinity/)
      for (const [x, y] of pointsOf(svg, 'raw')) {
        expect(x).toBeGreaterThanOrEqual(0)
        expect(x).toBeLessThanOrEqual(760)
        expect(y).toBeGreaterThanOrEqual(0)
        expect(y).toBeLessThanOrEqual(420)
      }
    }
  })
  it('stays small for a long run', () => {
    const long = historyOf(Array.from({ length: 200_000 }, (_, i) => 1 + 1 / (i + 1)))
    expect(drawLossCurve(long).length).toBeLessThan(60_000)
  })
  it('lets no title break the markup, and knows both grounds', () => {
    const svg = drawLossCurve(historyOf([1, 2]), { title: '<script>"a" & b' })
    expect(svg).not.toContain('<script>')
    expect(svg).toContain('prefers-color-scheme: dark')
  })
})
