import { describe, expect, it } from 'vitest'
import { OptionError, ShapeError } from '../../base/errors.ts'
import { MicroLora } from '../micro-lora.ts'
import type { MicroLoraOptions } from '../options.ts'
import { awaken, randomVector } from '../testing.ts'

const small = { inFeatures: 12, outFeatures: 8 }
const x = randomVector(12, 1)
const target = randomVector(8, 2, 5)
const length = (values: Float32Array): number => Math.hypot(...values)

describe('a step within a trust region', () => {
  /** How far a step of this rate moves the output at x, as a share of ‖x‖. */
  function moved(options: MicroLoraOptions, rate: number, share?: number): number {
    const lora = new MicroLora({ ...small, clip: Infinity, ...options })
    awaken(lora.module())
    for (let i = 0; i < 3; i++) lora.adapt(randomVector(12, 9 + i), { target })
    lora.adapt(x, { target })
    const before = lora.forward(x)
    expect(lora.applyUpdates(rate, share === undefined ? undefined : { input: x, share })).toBe(4)
    return length(lora.forward(x).map((value, i) => value - before[i]!)) / length(x)
  }
  it.each([
    {},
    { rank: 4, momentum: 0.9 },
    { optimizer: 'adam', rank: 3 },
    { optimizer: 'adam', bias: true },
  ] as MicroLoraOptions[])(
    'moves the output as far as it may where it would move further, and is whole where it would not: %o',
    (options) => {
      for (const rate of [0.05, 1, 30]) {
        const free = moved(options, rate)
        for (const share of [0.5 * free, 0.01 * free]) {
          expect(moved(options, rate, share)).toBeLessThan(1.001 * share)
          // Δy is a polynomial of the second degree in the step, so it may come back: what was kept
          // is a place where it reaches the bound
          expect(moved(options, rate, share)).toBeGreaterThan(0.99 * share)
        }
        expect(moved(options, rate, 1.01 * free)).toBe(free)
      }
    },
  )
  it('refuses invalid inputs and shares, and several modules, and changes nothing', () => {
    const lora = new MicroLora({ ...small, momentum: 0.9 })
    lora.adapt(x, { target })
    const before = JSON.stringify(lora)
    expect(() => lora.applyUpdates(0.1, { input: new Float32Array(3), share: 1 })).toThrow(
      ShapeError,
    )
    expect(() => lora.applyUpdates(0.1, { input: x.with(4, NaN), share: 1 })).toThrow(
      'trust.input is NaN at 4',
    )
    expect(() => lora.applyUpdates(0.1, { input: x, share: 0 })).toThrow(
      'trust.share: got 0, expected a number above 0',
    )
    expect(JSON.stringify(lora)).toBe(before)
    const two = new MicroLora({ modules: { q: small, v: small } })
    two.adapt(x, { target, sourceModule: 'q' })
    expect(() => two.applyUpdates(0.1, { input: x, share: 1 })).toThrow(OptionError)
    expect([two.pendingUpdates, two.module('q').apply(0.1, 0, { input: x, share: 1 })]).toEqual([
      1, 1,
    ])
  })
})

describe('a step of several modules', () => {
  it('moves none of them where the gradient of one overflows', () => {
    const lora = new MicroLora({ modules: { q: small, v: small }, clip: Infinity })
    for (const name of ['q', 'v']) awaken(lora.module(name))
    const before = lora.module('q').read('weights')
    const huge = (values: Float32Array): Float32Array => values.map((value) => 1e12 * value)
    lora.adapt(x, { target, sourceModule: 'q' })
    lora.adapt(huge(x), { gradient: huge(target), sourceModule: 'v' })
    expect(() => lora.applyUpdates(0.1)).toThrow('v: the gradient is too large')
    expect([
      lora.module('q').read('weights'),
      lora.module('q').pendingUpdates,
      lora.module('v').pendingUpdates,
    ]).toEqual([before, 1, 0])
    expect(lora.applyUpdates(0.1)).toBe(1)
  })
})
