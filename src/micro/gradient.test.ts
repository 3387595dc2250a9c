import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createContext, kernelNames } from './kernels/context.ts'
import { MicroModule } from './module/module.ts'
import { completeOptions, type MicroLoraOptions } from './options.ts'
import { MicroLora } from './micro-lora.ts'
import {
  awaken,
  differences,
  halfSquaredError,
  randomVector,
  measureRelativeError,
  slowForward,
} from './testing.ts'

const inFeatures = 11
const outFeatures = 6
const contexts = new Map(kernelNames.map((name) => [name, createContext(name)!]))

function moduleOf(
  options: MicroLoraOptions,
  kernels: (typeof kernelNames)[number] = 'relaxed-simd',
): MicroModule {
  return new MicroModule(
    'default',
    completeOptions({ inFeatures, outFeatures, ...options }),
    contexts.get(kernels)!,
    3,
  )
}

describe.each(kernelNames)('with %s kernels', (kernels) => {
  it.each([1, 2, 3, 4, 5, 9, 16])('the forward pass of rank %i is its formula', (rank) => {
    const module = moduleOf({ rank, bias: true }, kernels)
    awaken(module)
    const x = randomVector(inFeatures, 1)
    const expected = slowForward(module, module.read('weights'), x)
    expect(measureRelativeError(module.forward(x), expected)).toBeLessThan(1e-5)
    const output = randomVector(outFeatures, 2)
    const sums = Array.from(output, (value, i) => value + expected[i]!)
    module.forwardAdd(x, output)
    expect(measureRelativeError(output, sums)).toBeLessThan(1e-5)
    const batch = module.forwardBatch(Float32Array.from([...randomVector(inFeatures, 5), ...x]))
    expect(batch.subarray(outFeatures)).toEqual(module.forward(x))
  })

  it.each([1, 2, 3, 4, 5, 16])(
    'the gradient towards a target is that of finite differences at rank %i',
    (rank) => {
      const module = moduleOf({ rank, bias: rank % 2 === 0 }, kernels)
      awaken(module)
      const x = randomVector(inFeatures, 1)
      const target = randomVector(outFeatures, 2)
      const base = randomVector(outFeatures, 3)
      const weights = module.read('weights')
      const loss = (at: number[]): number =>
        halfSquaredError(
          slowForward(module, at, x).map((y, i) => y + base[i]!),
          target,
        )
      expect(module.accumulateTarget(x, target, base)).toBeCloseTo(loss([...weights]), 4)
      expect(
        measureRelativeError(module.read('gradient'), differences(weights, loss)),
      ).toBeLessThan(1e-4)
      expect(module.read('weights')).toEqual(weights)
    },
  )

  it('the gradient of a given ∂L/∂y is that of finite differences: cross-entropy at a head', () => {
    const module = moduleOf({ rank: 2 }, kernels)
    awaken(module)
    const x = randomVector(inFeatures, 1)
    const label = 4
    const weights = module.read('weights')
    const probabilities = (y: readonly number[]): number[] => {
      const exponents = y.map(Math.exp)
      const sum = exponents.reduce((total, value) => total + value)
      return exponents.map((value) => value / sum)
    }
    const loss = (at: number[]): number =>
      -Math.log(probabilities(slowForward(module, at, x))[label]!)
    const error = probabilities(slowForward(module, weights, x)).map(
      (p, i) => p - (i === label ? 1 : 0),
    )
    module.accumulate(x, Float32Array.from(error))
    expect(measureRelativeError(module.read('gradient'), differences(weights, loss))).toBeLessThan(
      1e-4,
    )
  })
})

describe('the policy gradient', () => {
  const y = (lora: MicroLora, x: Float32Array, at: number[]): number[] =>
    slowForward(lora.module(), at, x)
  const made = (): MicroLora => {
    const lora = new MicroLora({ inFeatures, outFeatures, seed: 3, exploration: 0.5 })
    awaken(lora.module())
    return lora
  }
  it('is that of −advantage · log N(emitted | y, σ²)', () => {
    const lora = made()
    const x = randomVector(inFeatures, 1)
    const emitted = randomVector(outFeatures, 2)
    lora.adapt(x, { reward: 0.7, emitted })
    const loss = (at: number[]): number => (0.7 / 0.25) * halfSquaredError(y(lora, x, at), emitted)
    expect(
      measureRelativeError(
        lora.module().read('gradient'),
        differences(lora.module().read('weights'), loss),
      ),
    ).toBeLessThan(1e-4)
  })
  it('is that of −advantage · log softmax(base + y) for a class', () => {
    const lora = made()
    const x = randomVector(inFeatures, 1)
    const base = randomVector(outFeatures, 9)
    const loss = (at: number[]): number => {
      const logits = y(lora, x, at).map((value, i) => value + base[i]!)
      return -0.5 * (logits[2]! - Math.log(logits.reduce((sum, value) => sum + Math.exp(value), 0)))
    }
    const given = lora.adapt(x, { verdict: 'good', emitted: 2, base })
    expect(given).toBeCloseTo(loss([...lora.module().read('weights')]), 4)
    expect(
      measureRelativeError(
        lora.module().read('gradient'),
        differences(lora.module().read('weights'), loss),
      ),
    ).toBeLessThan(1e-4)
  })
})

describe('descending lowers the loss', () => {
  const cases = fc.record({
    rank: fc.integer({ min: 1, max: 4 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
    alpha: fc.double({ min: 0.5, max: 8, noNaN: true }),
    nIn: fc.integer({ min: 1, max: 40 }),
    nOut: fc.integer({ min: 1, max: 40 }),
    kernels: fc.constantFrom(...kernelNames),
    start: fc.constantFrom('fresh, sgd' as const, 'fresh, adam' as const, 'trained, sgd' as const),
  })
  /** The loss in 64-bit numbers before and after one step. */
  function stepped({
    start,
    nIn,
    nOut,
    seed,
    ...options
  }: typeof cases extends fc.Arbitrary<infer Case> ? Case : never): {
    before: number
    after: number
    slope: number
  } {
    const optimizer = start === 'fresh, adam' ? 'adam' : 'sgd'
    const lora = new MicroLora({ ...options, seed, optimizer, inFeatures: nIn, outFeatures: nOut })
    const module = lora.module()
    if (start === 'trained, sgd') awaken(module, seed + 2)
    const x = randomVector(nIn, seed)
    const target = randomVector(nOut, seed + 1)
    const loss = (): number =>
      halfSquaredError(slowForward(module, module.read('weights'), x), target)
    const before = loss()
    lora.adapt(x, { target })
    const slope = Math.hypot(...module.read('gradient'))
    lora.applyUpdates(1e-5)
    const after = loss()
    lora.dispose()
    return { before, after, slope }
  }
  it('for any rank from 1 to 4, size, scale, data, kernels and optimiser', () => {
    fc.assert(
      fc.property(cases, (one) => {
        const { before, after, slope } = stepped(one)
        fc.pre(slope > 0.3) // so near to flat, 32-bit weights do not move as told
        expect(after).toBeLessThan(before)
      }),
      { numRuns: 300 },
    )
  })
  it('also against a given gradient and towards what was rewarded, away from what was punished', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 1e6 }),
        (rank, seed) => {
          const distance = (reward: number): number => {
            const lora = new MicroLora({ rank, seed, inFeatures, outFeatures })
            const x = randomVector(inFeatures, seed)
            const emitted = randomVector(outFeatures, seed + 1)
            lora.adapt(x, { reward, emitted })
            lora.applyUpdates(1e-2)
            const y = lora.forward(x)
            lora.dispose()
            return halfSquaredError(y, emitted)
          }
          const still = halfSquaredError(
            new Float32Array(outFeatures),
            randomVector(outFeatures, seed + 1),
          )
          expect(distance(1)).toBeLessThan(still)
          expect(distance(-1)).toBeGreaterThan(still)
        },
      ),
      { numRuns: 50 },
    )
  })
})
