import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createModel, type Head, type Model } from '../../runtime/index.ts'
import { HeadTier } from './head-tier.ts'
import type { HeadTierOptions } from './tier-options.ts'
import { createHeadLoss } from './head-gradient.ts'
import { computePrincipalSubspace } from './principal-subspace.ts'

const folder = new URL('../../catalogue/models/stories260k', import.meta.url).pathname
let model: Model
let head: Head
let hidden: Float32Array
const ids = [1, 80, 90, 100, 33, 7, 260, 12, 200, 44]
const tokens = ids.slice(1)
const weights = tokens.map((_, t) => (t === 2 ? 0 : 1 / (tokens.length - 1)))

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend: createOnnxRuntimeBackend(ort as never, { threads: 1 }) })
  head = model.head('exact')
  const [rows] = await model.hidden([ids.slice(0, -1)], { accuracy: 'exact' })
  hidden = Float32Array.from(rows!.flatMap((row) => [...row]))
})
afterAll(() => model.dispose())

/** The true loss: logits of the whole vocabulary, in double precision. */
async function trueLoss(tier: HeadTier): Promise<number> {
  const { data } = await head.logits(f32([tokens.length, head.width], tier.apply(hidden)))
  return tokens.reduce((sum, token, t) => {
    const row = [...data.subarray(t * head.vocabularySize, (t + 1) * head.vocabularySize)]
    const top = Math.max(...row)
    return (
      sum +
      weights[t]! *
        (Math.log(row.reduce((total, logit) => total + Math.exp(logit - top), 0)) +
          top -
          row[token]!)
    )
  }, 0)
}
const errorsOf = async (tier: HeadTier, breadth: number | 'all') =>
  createHeadLoss(head, breadth).compute(
    await head.logits(f32([tokens.length, head.width], tier.apply(hidden))),
    tokens,
    weights,
  )
const learned = async (rank: number, steps = 3, options = {}): Promise<HeadTier> => {
  const tier = new HeadTier(head.width, { rank, learningRate: 0.02, ...options })
  for (let i = 0; i < steps; i++) tier.step(hidden, (await errorsOf(tier, 'all')).gradient)
  return tier
}

describe.each([1, 2, 4, 16])('a fast tier of rank %i', (rank) => {
  it('has the gradient of the true loss, by finite differences', async () => {
    const tier = await learned(rank)
    const { gradient } = await errorsOf(tier, 'all')
    const exact = tier.gradients(hidden, gradient)
    for (const part of ['A', 'B'] as const) {
      const values = tier[part].data
      for (const at of [0, 7, values.length >> 1, values.length - 1]) {
        const own = values[at]!
        const shifted = async (by: number): Promise<number> => {
          values[at] = own + by
          const loss = await trueLoss(tier)
          values[at] = own
          return loss
        }
        const slope = ((await shifted(0.02)) - (await shifted(-0.02))) / 0.04
        expect(Math.abs(exact[part][at]! - slope), `${part}[${at}]`).toBeLessThan(
          2e-3 + 0.02 * Math.abs(slope),
        )
      }
    }
  })

  it('descends: the loss falls step by step', async () => {
    const losses = [await trueLoss(new HeadTier(head.width, { rank }))]
    for (const steps of [1, 4, 12]) losses.push(await trueLoss(await learned(rank, steps)))
    for (let i = 1; i < losses.length; i++) expect(losses[i]!).toBeLessThan(losses[i - 1]! + 1e-6)
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1)
  })
})

describe('the error at the head', () => {
  it('over as many tokens as there are is the exact one, also over none left out', async () => {
    const tier = await learned(4)
    const all = await errorsOf(tier, 'all')
    const whole = await errorsOf(tier, head.vocabularySize)
    all.gradient.forEach((value, i) =>
      expect(Math.abs(value - whole.gradient[i]!)).toBeLessThan(1e-4),
    )
    expect(whole.losses.reduce((sum, loss, t) => sum + weights[t]! * loss, 0)).toBeCloseTo(
      await trueLoss(tier),
      4,
    )
  })
  it('over the most likely 64 points nearly where the exact one does', async () => {
    const tier = await learned(4, 1)
    const all = await errorsOf(tier, 'all')
    const some = await errorsOf(tier, 64)
    const dot = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, x, i) => sum + x * b[i]!, 0)
    expect(
      dot(all.gradient, some.gradient) /
        Math.sqrt(dot(all.gradient, all.gradient) * dot(some.gradient, some.gradient)),
    ).toBeGreaterThan(0.98)
  })
  it('leaves out what weighs nothing', async () => {
    const { gradient } = await errorsOf(await learned(2), 64)
    expect(gradient.subarray(2 * head.width, 3 * head.width).every((value) => value === 0)).toBe(
      true,
    )
    expect(gradient.subarray(3 * head.width, 4 * head.width).some((value) => value !== 0)).toBe(
      true,
    )
  })
  it('refuses a breadth of nothing', () => {
    expect(() => createHeadLoss(head, 0)).toThrow(OptionError)
  })
})

describe('a step', () => {
  it('changes nothing before the first, and is the same for the same seed', async () => {
    expect(new HeadTier(head.width).apply(hidden)).toEqual(hidden)
    expect((await learned(4)).B).toEqual((await learned(4)).B)
    expect((await learned(4, 3, { seed: 2 })).B).not.toEqual((await learned(4)).B)
  })
  it('is held within its trust region at any rate', async () => {
    const tier = new HeadTier(head.width, { rank: 8, learningRate: 10, trust: 0.05 })
    for (let i = 0; i < 5; i++) {
      tier.step(hidden, (await errorsOf(tier, 'all')).gradient)
      expect(tier.lastRelativeStep).toBeLessThan(0.055)
    }
    expect(tier.lastRelativeStep).toBeGreaterThan(0.01)
  })
  it('with decay leaves smaller weights, without momentum goes where the last gradient points', async () => {
    const { gradient } = await errorsOf(new HeadTier(head.width, { rank: 2 }), 'all')
    const stepped = (options: HeadTierOptions): HeadTier => {
      const tier = new HeadTier(head.width, { rank: 2, learningRate: 0.01, trust: 10, ...options })
      for (let i = 0; i < 5; i++)
        tier.step(hidden, i < 4 ? gradient : gradient.map((value) => -value))
      return tier
    }
    const size = (tier: HeadTier): number => Math.hypot(...tier.A.data, ...tier.B.data)
    expect(size(stepped({ decay: 5 }))).toBeLessThan(0.9 * size(stepped({})))
    // Adam's four steps one way, then back: without momentum the last one undoes more.
    expect(Math.hypot(...stepped({ momentum: 0 }).B.data)).toBeLessThan(
      Math.hypot(...stepped({}).B.data),
    )
  })
  it('leaves states alone that it is asked to spare, from its first step on, and learns from others', async () => {
    const spared = hidden.subarray(0, 3 * head.width)
    const tier = new HeadTier(head.width, { rank: 4, learningRate: 0.02 })
    const directions = computePrincipalSubspace(spared, head.width)
    expect(directions.shape[0]).toBeLessThanOrEqual(3)
    tier.excludeDirections(directions)
    for (let i = 0; i < 4; i++) tier.step(hidden, (await errorsOf(tier, 'all')).gradient)
    const moved = tier.apply(hidden)
    const share = (t: number): number => {
      const of = (values: Float32Array): Float32Array =>
        values.subarray(t * head.width, (t + 1) * head.width)
      return (
        Math.hypot(...of(moved).map((value, i) => value - of(hidden)[i]!)) /
        Math.hypot(...of(hidden))
      )
    }
    const least = Math.max(share(0), share(1), share(2))
    const most = share(6)
    expect(least).toBeLessThan(most / 2)
    tier.clear()
    tier.step(hidden, (await errorsOf(tier, 'all')).gradient)
    const A = tier.A.data
    for (let k = 0; k < directions.shape[0]!; k++) {
      const inside = A.subarray(0, head.width).reduce(
        (sum, value, i) => sum + value * directions.data[k * head.width + i]!,
        0,
      )
      expect(Math.abs(inside)).toBeLessThan(1e-5)
    }
    expect(() => tier.excludeDirections(f32([1, 3]))).toThrow(ShapeError)
  })
  it('from NaN is refused and leaves everything as it was', async () => {
    const tier = await learned(2)
    const before = [...tier.B.data]
    expect(() => tier.step(hidden, new Float32Array(hidden.length).fill(Number.NaN))).toThrow(
      NumericError,
    )
    expect([...tier.B.data]).toEqual(before)
    expect(tier.steps).toBe(3)
    expect(() => tier.step(hidden, new Float32Array(head.width))).toThrow(ShapeError)
    expect(tier.steps).toBe(3)
  })
  it('of one user leaves another user’s tier alone, though both use one memory', async () => {
    const alone = await learned(4, 2, { trust: 0.01 })
    const [one, other] = [0.01, 5].map(
      (trust) => new HeadTier(head.width, { rank: 4, learningRate: 0.02, trust }),
    ) as [HeadTier, HeadTier]
    for (let i = 0; i < 2; i++) {
      one.step(hidden, (await errorsOf(one, 'all')).gradient)
      const { gradient } = await errorsOf(other, 'all')
      other.step(
        hidden,
        gradient.map((value) => -3 * value),
      )
    }
    expect(one.tensors()).toEqual(alone.tensors())
    expect(other.B).not.toEqual(one.B)
    expect(() =>
      one.step(
        hidden,
        hidden.map((value) => value * 1e30),
      ),
    ).toThrow(NumericError)
    expect(one.tensors()).toEqual(alone.tensors())
  })
  it.each([
    { rank: 0 },
    { rank: 17 },
    { learningRate: -1 },
    { trust: 0 },
    { momentum: 1 },
    { decay: -1 },
  ])('%o is refused', (options) => {
    expect(() => new HeadTier(8, options)).toThrow(OptionError)
  })
  it('continues from its tensors as if never stopped', async () => {
    const tier = await learned(4)
    const again = new HeadTier(head.width, { rank: 4, learningRate: 0.02 })
    again.restore(
      new Map(
        [...tier.tensors()].map(([name, { shape, data }]) => [name, f32(shape, data.slice())]),
      ),
      tier.steps,
    )
    const { gradient } = await errorsOf(tier, 64)
    for (const each of [tier, again]) each.step(hidden, gradient)
    expect(again.tensors()).toEqual(tier.tensors())
    expect(() => new HeadTier(head.width, { rank: 2 }).restore(tier.tensors(), 1)).toThrow(
      ShapeError,
    )
  })
})
