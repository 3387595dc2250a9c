import { describe, expect, it } from 'vitest'
import { getKernelContext } from './kernels/context.ts'
import { MicroLora } from './micro-lora.ts'
import type { MicroLoraOptions } from './options.ts'
import {
  awaken,
  halfSquaredError,
  meanLoss,
  problem,
  randomVector,
  measureRelativeError,
  slowForward,
} from './testing.ts'

const small = { inFeatures: 12, outFeatures: 8 }
const x = randomVector(12, 1)
const target = randomVector(8, 2)

describe('a fresh one', () => {
  it('adds nothing, the same seed gives the same A, another another', () => {
    const [one, same, other] = [0, 0, 1].map((seed) => new MicroLora({ ...small, seed })) as [
      MicroLora,
      MicroLora,
      MicroLora,
    ]
    expect([...one.forward(x)]).toEqual(new Array(8).fill(0))
    expect(one.module().read('weights')).toEqual(same.module().read('weights'))
    expect(one.module().read('weights')).not.toEqual(other.module().read('weights'))
    const a = one.module().read('weights').subarray(0, 24)
    const bound = 1 / Math.sqrt(12)
    expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(bound)
    expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.7 * bound)
    expect([...one.module().read('weights').subarray(24)]).toEqual(new Array(16).fill(0))
  })
  it('has 6, 12 and 24 KB of weights at 768 × 768 and reports its other memory', () => {
    for (const [rank, kilobytes] of [
      [1, 6],
      [2, 12],
      [4, 24],
    ] as const) {
      const lora = new MicroLora({ rank })
      expect(lora.statistics()).toMatchObject({
        bytes: kilobytes * 1024,
        parameters: kilobytes * 256,
      })
      expect(lora.memory()).toMatchObject({
        weights: kilobytes * 1024,
        gradient: kilobytes * 1024,
        optimizer: 0,
        ewc: 0,
        padding: 0,
        total: 2 * kilobytes * 1024,
      })
      const full = new MicroLora({ rank, optimizer: 'adam', ewc: true })
      expect(full.memory()).toMatchObject({
        optimizer: 2 * kilobytes * 1024,
        ewc: 2 * kilobytes * 1024 + 4 * (768 + rank),
      })
    }
  })
  it('allocates the reported bytes from the heap and frees them', () => {
    const { heap } = getKernelContext()
    // the scratch is wide enough from here on
    new MicroLora({ inFeatures: 999, outFeatures: 1001 }).dispose()
    const before = heap.usedBytes
    const lora = new MicroLora({
      inFeatures: 999,
      outFeatures: 1001,
      rank: 3,
      ewc: true,
      bias: true,
    })
    expect(lora.memory().padding).toBeGreaterThan(0)
    expect(Math.abs(heap.usedBytes - before - lora.memory().total)).toBeLessThan(64)
    lora.dispose()
    lora.dispose()
    expect(heap.usedBytes).toBe(before)
    expect(() => lora.forward(new Float32Array(999))).toThrow('disposed')
  })
})

describe('what hollow implementations do not', () => {
  it('the gradient depends on the target', () => {
    const gradients = [target, target.map((value) => -value)].map((wanted) => {
      const lora = new MicroLora(small)
      awaken(lora.module())
      lora.adapt(x, { target: wanted, quality: 0.8 })
      return lora.module().read('gradient')
    })
    expect(measureRelativeError(gradients[0]!, gradients[1]!)).toBeGreaterThan(0.1)
  })
  it('the gradient is neither the input nor independent of the output', () => {
    const lora = new MicroLora({ ...small, rank: 1 })
    awaken(lora.module())
    lora.adapt(x, { target: lora.forward(x) })
    // where it is right already, there is nothing to do
    expect(Math.max(...lora.module().read('gradient').map(Math.abs))).toBeLessThan(1e-5)
  })
  it('both A and B move', () => {
    const lora = new MicroLora(small)
    const start = lora.module().read('weights')
    for (let i = 0; i < 3; i++) {
      lora.adapt(x, { target })
      lora.applyUpdates(0.1)
    }
    const moved = lora
      .module()
      .read('weights')
      .map((value, i) => Math.abs(value - start[i]!))
    expect([
      Math.max(...moved.subarray(0, 24)) > 1e-4,
      Math.max(...moved.subarray(24)) > 1e-4,
    ]).toEqual([true, true])
  })
  it('a good verdict makes what was emitted likelier, a bad one less likely', () => {
    for (const [verdict, sign] of [
      ['good', 1],
      ['bad', -1],
    ] as const) {
      const lora = new MicroLora(small)
      lora.adapt(x, { verdict, emitted: 3 })
      lora.applyUpdates(0.1)
      expect(Math.sign(lora.forward(x)[3]!)).toBe(sign)
    }
  })
  it('it learns a map of its rank from a stream, and one of a rank too small only in part', () => {
    const learned = [3, 1].map((rank) => {
      const lora = new MicroLora({ ...small, rank, optimizer: 'adam', clip: Infinity })
      const next = problem(3, 5)
      const before = meanLoss(lora, next)
      for (let i = 0; i < 1500; i++) {
        const { input, target: wanted } = next()
        lora.adapt(input, { target: wanted })
        lora.applyUpdates(0.01)
      }
      return meanLoss(lora, next) / before
    })
    expect(learned[0]).toBeLessThan(0.01)
    expect(learned[1]).toBeGreaterThan(0.1)
  })
  it('it learns from rewards alone by exploring', () => {
    const lora = new MicroLora({
      inFeatures: 4,
      outFeatures: 3,
      exploration: 0.3,
      optimizer: 'adam',
      seed: 4,
      baselineKeep: 0.95,
    })
    const input = Float32Array.of(1, -1, 0.5, 0.3)
    const wanted = Float32Array.of(0.5, -0.4, 0.3)
    const before = halfSquaredError(lora.forward(input), wanted)
    for (let i = 0; i < 1500; i++) {
      const tried = lora.explore(input)
      lora.adapt(input, { explored: true, reward: -halfSquaredError(tried, wanted) })
      if (i % 5 === 4) lora.applyUpdates(0.005)
    }
    expect(halfSquaredError(lora.forward(input), wanted)).toBeLessThan(0.15 * before)
  })
})

describe('steps', () => {
  it('take the mean of what was gathered, and gather anew', () => {
    const twice = new MicroLora(small)
    const once = new MicroLora(small)
    for (let i = 0; i < 2; i++) twice.adapt(x, { target })
    once.adapt(x, { target })
    expect([
      twice.pendingUpdates,
      twice.applyUpdates(0.1),
      once.applyUpdates(0.1),
      twice.pendingUpdates,
    ]).toEqual([2, 2, 1, 0])
    expect(
      measureRelativeError(twice.module().read('weights'), once.module().read('weights')),
    ).toBeLessThan(1e-6)
    expect(twice.applyUpdates(0.1)).toBe(0)
    expect([...twice.module().read('gradient')]).toEqual(new Array(40).fill(0))
  })
  it.each([
    {},
    { momentum: 0.9 },
    { momentum: 0.9, weightDecay: 0.1, ewc: true },
  ] as MicroLoraOptions[])('move no further than rate × clip: %o', (options) => {
    const lora = new MicroLora({ ...small, ...options, clip: 0.5 })
    for (let i = 0; i < 5; i++) {
      const before = lora.module().read('weights')
      lora.adapt(
        x.map((value) => 1000 * value),
        { target },
      )
      lora.applyUpdates(0.1)
      const decayed = before.map((value) => value * (1 - 0.1 * (options.weightDecay ?? 0)))
      const moved = Math.hypot(
        ...lora
          .module()
          .read('weights')
          .map((value, k) => value - decayed[k]!),
      )
      expect(moved).toBeLessThan(0.05 * 1.0001)
      expect(moved).toBeGreaterThan(0.001)
    }
  })
  it.each(['sgd', 'adam'] as const)('stay within the trust radius with %s', (optimizer) => {
    const lora = new MicroLora({ ...small, optimizer, clip: Infinity, trustRadius: 0.01 })
    const before = lora.module().read('weights')
    lora.adapt(x, { target })
    lora.applyUpdates(10)
    expect(
      Math.hypot(
        ...lora
          .module()
          .read('weights')
          .map((value, k) => value - before[k]!),
      ),
    ).toBeCloseTo(0.01, 5)
  })
  it('follow the formulas of momentum and of Adam', () => {
    for (const optimizer of ['sgd', 'adam'] as const) {
      const lora = new MicroLora({
        ...small,
        optimizer,
        momentum: 0.9,
        secondMomentum: 0.99,
        clip: Infinity,
        weightDecay: 0.1,
      })
      const module = lora.module()
      awaken(module)
      const weights = Array.from(module.read('weights'))
      const m = weights.map(() => 0)
      const v = weights.map(() => 0)
      for (let t = 1; t <= 4; t++) {
        lora.adapt(randomVector(12, t), { target })
        const g = module.read('gradient')
        for (const [i, value] of g.entries()) {
          m[i] = 0.9 * m[i]! + 0.1 * value
          v[i] = 0.99 * v[i]! + 0.01 * value * value
          const d = m[i]! / (1 - 0.9 ** t)
          const direction =
            optimizer === 'sgd' ? d : d / (Math.sqrt(v[i]! / (1 - 0.99 ** t)) + 1e-8)
          weights[i] = (1 - 0.01 * 0.1) * weights[i]! - 0.01 * direction
        }
        lora.applyUpdates(0.01)
        expect(measureRelativeError(module.read('weights'), weights)).toBeLessThan(1e-4)
      }
    }
  })
  it('of several modules go to the one that the feedback names', () => {
    const lora = new MicroLora({
      modules: {
        q_proj: { inFeatures: 12, outFeatures: 8 },
        v_proj: { inFeatures: 12, outFeatures: 4 },
      },
    })
    const before = lora.module('v_proj').read('weights')
    expect(lora.module('q_proj').read('weights').subarray(0, 24)).not.toEqual(
      before.subarray(0, 24),
    )
    lora.adapt(x, { target, sourceModule: 'q_proj' })
    lora.applyUpdates(0.1)
    expect(lora.module('v_proj').read('weights')).toEqual(before)
    expect(lora.forward(x, undefined, 'q_proj').some((value) => value !== 0)).toBe(true)
    expect(() => lora.forward(x)).toThrow('which module? There are q_proj, v_proj')
    expect(() => lora.forward(x, undefined, 'k_proj')).toThrow('no module "k_proj"')
  })
})

describe('figures', () => {
  it('are those of the qualities', () => {
    const lora = new MicroLora(small)
    const qualities = [0.2, 0.9, 0.5, 0.7]
    for (const quality of qualities) lora.adapt(x, { target, quality })
    lora.adapt(x, { target, verdict: 'good' })
    lora.forward(x)
    lora.forwardBatch(randomVector(36, 1))
    lora.forwardAdd(x, new Float32Array(8))
    const all = [...qualities, 1]
    const mean = all.reduce((sum, value) => sum + value) / 5
    const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 4
    expect(lora.statistics()).toMatchObject({
      samples: 5,
      adaptations: 5,
      forwards: 5,
      pendingUpdates: 5,
    })
    expect(lora.statistics().meanQuality).toBeCloseTo(mean)
    expect(lora.statistics().variance).toBeCloseTo(variance)
    lora.reset()
    expect(lora.statistics()).toMatchObject({
      samples: 0,
      adaptations: 0,
      forwards: 0,
      pendingUpdates: 0,
      meanQuality: 0,
      baseline: undefined,
    })
    expect(lora.module().read('weights')).toEqual(new MicroLora(small).module().read('weights'))
  })
  it('latency makes an answer worth less, over twice the target nothing', () => {
    const baseline = (latencyUs: number): number => {
      const lora = new MicroLora({ ...small, targetLatencyUs: 100, baselineKeep: 0 })
      lora.adapt(x, { quality: 0.8, latencyUs, target })
      return lora.statistics().baseline!
    }
    expect([50, 100, 150, 300].map(baseline)).toEqual([1.2000000000000002, 0.8, 0.4, 0])
  })
  it('normalised advantages do not depend on how far qualities lie apart, the variance slows the rate', () => {
    const moved = (spread: number, options: MicroLoraOptions): number => {
      const lora = new MicroLora({ ...small, clip: Infinity, baselineKeep: 0, ...options })
      for (const sign of [-1, 1, -1, 1])
        lora.adapt(x, { quality: 0.5 + sign * spread, target: lora.forward(x) })
      lora.applyUpdates(0.1) // moves nothing: the output is right
      lora.adapt(x, { quality: 0.5, emitted: target })
      lora.applyUpdates(0.1)
      return Math.hypot(...lora.forward(x))
    }
    expect(
      moved(0.4, { normalizeQuality: true }) / moved(0.1, { normalizeQuality: true }),
    ).toBeCloseTo(1, 3)
    expect(moved(0.4, {}) / moved(0.1, {})).toBeCloseTo(4, 3)
    expect(moved(0.4, { rate: 'variance' }) / moved(0.4, {})).toBeCloseTo(
      1 / (1 + 4 * ((0.16 * 4) / 4)),
      1,
    )
  })
  it('dropout draws by the seed, keeps the mean, and acts in adapt only', () => {
    const lora = new MicroLora({ ...small, dropout: 0.5 })
    awaken(lora.module())
    expect(lora.forward(x)).toEqual(lora.forward(x))
    const ones = new Float32Array(12).fill(1)
    for (let i = 0; i < 400; i++) lora.adapt(ones, { target: new Float32Array(8) })
    const same = new MicroLora({ ...small, dropout: 0.5 })
    awaken(same.module())
    for (let i = 0; i < 400; i++) same.adapt(ones, { target: new Float32Array(8) })
    expect(same.module().read('gradient')).toEqual(lora.module().read('gradient'))
    const a = new MicroLora({ ...small, dropout: 0.5 })
    awaken(a.module())
    const first = a.adapt(ones, { target })
    expect(a.adapt(ones, { target })).not.toBe(first)
  })
})

describe('enabled', () => {
  it('false: adds nothing, learns nothing, merges nothing, and comes back as it was', () => {
    const lora = new MicroLora(small)
    awaken(lora.module())
    const y = lora.forward(x)
    lora.enabled = false
    const output = target.slice()
    lora.forwardAdd(x, output)
    expect([[...lora.forward(x)], output, lora.adapt(x, { target }), lora.applyUpdates(1)]).toEqual(
      [new Array(8).fill(0), target, undefined, 0],
    )
    expect(lora.mergeInto(new Float32Array(96)).every((value) => value === 0)).toBe(true)
    lora.enabled = true
    expect([lora.forward(x), lora.statistics().adaptations]).toEqual([y, 0])
  })
})

describe('mergeInto', () => {
  it('gives weights that compute what base and adapter do together, the base unchanged', () => {
    const lora = new MicroLora({ ...small, rank: 3 })
    awaken(lora.module())
    const base = randomVector(96, 4)
    const copy = base.slice()
    const merged = lora.mergeInto(base)
    expect(base).toEqual(copy)
    const product = (w: Float32Array): number[] =>
      Array.from({ length: 8 }, (_, o) =>
        x.reduce((sum, value, i) => sum + value * w[o * 12 + i]!, 0),
      )
    const expected = product(base).map(
      (value, o) => value + slowForward(lora.module(), lora.module().read('weights'), x)[o]!,
    )
    expect(measureRelativeError(product(merged), expected)).toBeLessThan(1e-5)
    expect(lora.mergeInto(base, { output: base })).toBe(base)
    expect(base).toEqual(merged)
    expect(() => lora.mergeInto(new Float32Array(95))).toThrow(
      'base weights: got 95 values, expected 96: [8, 12]',
    )
  })
})

describe('warnings', () => {
  const codes = (lora: MicroLora): string[] => lora.warnings().map(({ code }) => code)
  const fed = (options: MicroLoraOptions, rate: number, quality: number, rank = 1): MicroLora => {
    const lora = new MicroLora({ ...small, ...options })
    const next = problem(rank, 9)
    for (let i = 0; i < 300; i++) {
      const { input, target: wanted } = next()
      lora.adapt(input, { target: wanted, quality: i % 5 === 0 ? 1 - quality : quality })
      lora.applyUpdates(rate)
    }
    return lora
  }
  it('are empty if all is well, and also with few samples', () => {
    expect(codes(fed({ rank: 2 }, 0.05, 0.8))).toEqual([])
    expect(codes(new MicroLora(small))).toEqual([])
  })
  it('name feedback on one side, rates too small, ranks that do not fit', () => {
    expect(codes(fed({ rank: 2 }, 0.05, 0.1))).toContain('one-sided-feedback')
    expect(codes(fed({ rank: 2 }, 1e-8, 0.8))).toContain('rate-too-small')
    expect(codes(fed({ rank: 4, optimizer: 'adam' }, 0.01, 0.8))).toContain('rank-too-large')
    expect(codes(fed({ rank: 1, optimizer: 'adam' }, 0.001, 0.8, 8))).toContain('rank-too-small')
  })
})

describe('memory that grows', () => {
  it.each(['relaxed-simd', 'simd', 'plain'] as const)(
    'leaves adapters that were there as they were: %s',
    (kernels) => {
      const first = new MicroLora({ ...small, kernels })
      awaken(first.module())
      const y = first.forward(x)
      const others = Array.from(
        { length: 40 },
        () => new MicroLora({ inFeatures: 3000, outFeatures: 3000, rank: 4, kernels }),
      )
      expect(first.forward(x)).toEqual(y)
      for (const other of others) other.dispose()
      expect(first.forward(x)).toEqual(y)
    },
  )
})
