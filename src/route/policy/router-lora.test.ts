import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { doubled } from '../../graph/testing.ts'
import { AdaptedPolicy, adaptDefaults, computeExpertErrors } from './adapt-policy.ts'
import { buildPolicyGradients, gradientOf } from './policy-graph.ts'
import { initializePolicy, listHeads, type HeadName, type PolicyShape } from './policy-weights.ts'
import { addLoraGradients, createLoraGradients, initializeLora } from './router-lora.ts'
import { runPolicy } from './run-policy.ts'

const shapeOf = (reads: PolicyShape['reads']): PolicyShape => ({
  buckets: 20,
  width: 5,
  hidden: 7,
  inputRank: 3,
  stateRank: 3,
  experts: 4,
  tiers: 2,
  reads,
})
const words = [[3, 4], [5], [1, 2, 19], [0]].map((ids) => Int32Array.from(ids))

/** A loss whose gradients by the logits are known: Σ c·logit, with other c for each head. */
const factors = (shape: PolicyShape): Map<HeadName, Float64Array> =>
  new Map(
    listHeads(shape).map(([name, size], i) => [
      name,
      Float64Array.from({ length: size }, (_, k) => 0.3 + i - 0.4 * k),
    ]),
  )

describe.each(['last', 'mean'] as const)(
  'Router LoRA on a policy that reads the %s state',
  (reads) => {
    const shape = shapeOf(reads)
    const weights = initializePolicy(shape, random(3))

    it('changes nothing at its start', () => {
      const lora = initializeLora(shape, random(4))
      expect(runPolicy(shape, weights, words, lora).logits).toEqual(
        runPolicy(shape, weights, words).logits,
      )
    })

    it('has the gradients of finite differences in every matrix', () => {
      const lora = initializeLora(shape, random(4))
      for (const { data } of lora.values()) {
        const draw = random(data.length)
        for (let i = 0; i < data.length; i++) data[i] = 0.3 * draw.normal()
      }
      const upstream = factors(shape)
      const computeLoss = (): number =>
        [...runPolicy(shape, weights, words, lora).logits].reduce(
          (sum, [head, own]) =>
            sum + own.reduce((part, value, k) => part + value * upstream.get(head)![k]!, 0),
          0,
        )
      const gradients = createLoraGradients(lora)
      addLoraGradients(
        shape,
        weights,
        lora,
        runPolicy(shape, weights, words, lora),
        upstream,
        gradients,
      )
      const step = 2 ** -10 // exact in f32
      for (const [name, { data }] of lora) {
        expect(Math.max(...gradients.get(name)!.map(Math.abs)), name).toBeGreaterThan(1e-3)
        for (let i = 0; i < data.length; i++) {
          const start = data[i]!
          data[i] = start + step
          const [above, up] = [computeLoss(), data[i]!]
          data[i] = start - step
          const slope = (above - computeLoss()) / (up - data[i]!)
          data[i] = start
          expect(Math.abs(slope - gradients.get(name)![i]!), `${name} ${i}`).toBeLessThan(1e-4)
        }
      }
    })

    it('has the head’s gradient that the gradient pass of the graphs gives', () => {
      // A low-rank change of the expert's head at B = 0: ∂/∂B = ∂/∂W·Aᵀ.
      const lora = initializeLora(shape, random(4))
      const pass = runPolicy(shape, weights, words, lora)
      const errors = computeExpertErrors(pass.logits.get('expert')!, { right: 2 })!
      const gradients = createLoraGradients(lora)
      addLoraGradients(shape, weights, lora, pass, new Map([['expert', errors]]), gradients)
      const results = evaluate(
        buildPolicyGradients(shape, words.length),
        createFeeds(shape, weights),
      )
      const ofWeight = results.get(gradientOf('expert.weight'))!.data as Float64Array
      const A = lora.get('expert.A')!
      for (let k = 0; k < shape.experts; k++)
        for (let r = 0; r < 4; r++) {
          let sum = 0
          for (let i = 0; i < shape.hidden; i++)
            sum += ofWeight[k * shape.hidden + i]! * A.data[r * shape.hidden + i]!
          expect(gradients.get('expert.B')![k * 4 + r]).toBeCloseTo(sum, 6)
        }
    })
  },
)

function createFeeds(shape: PolicyShape, weights: ReturnType<typeof initializePolicy>) {
  const feeds = new Map([...weights].map(([name, tensor]) => [name, doubled(tensor)]))
  const { data } = weights.get('table')!
  for (const [t, ids] of words.entries()) {
    const vector = new Float32Array(shape.width)
    for (const id of ids)
      for (let i = 0; i < shape.width; i++)
        vector[i]! += data[id * shape.width + i]! / Math.sqrt(ids.length)
    feeds.set(`word${t}`, doubled(f32([1, shape.width], vector)))
    feeds.set(`present${t}`, doubled(f32([1, 1], [1])))
    feeds.set(`share${t}`, doubled(f32([1, 1], [1 / words.length])))
  }
  feeds.set('kept', doubled(f32([1, shape.hidden], new Array<number>(shape.hidden).fill(1))))
  for (const [head, size] of listHeads(shape)) {
    const wanted = new Float32Array(size)
    if (head === 'expert') wanted[2] = 1
    feeds.set(`wanted.${head}`, doubled(f32([1, size], wanted)))
    feeds.set(`counts.${head}`, doubled(f32([1], [head === 'expert' ? 1 : 0])))
  }
  return feeds
}

describe('feedback', () => {
  const shape = shapeOf('mean')
  const weights = initializePolicy(shape, random(3))
  const shareOf = (policy: AdaptedPolicy, expert: number): number => {
    const own = policy.run(words).logits.get('expert')!
    const total = own.reduce((sum, value) => sum + Math.exp(value), 0)
    return Math.exp(own[expert]!) / total
  }
  const create = () => new AdaptedPolicy(shape, weights, adaptDefaults)

  it.each([
    ['the right expert', { right: 2 }, 1],
    ['a good answer of the chosen one', { chosen: 2, reward: 1 }, 1],
    ['a bad answer of the chosen one', { chosen: 2, reward: 0 }, -1],
    ['none was right', { right: -1 }, 0],
  ])('of %s moves its share', (_what, feedback, direction) => {
    const policy = create()
    const before = shareOf(policy, 2)
    for (let i = 0; i < 20; i++) policy.learn({ words, ...feedback })
    const after = shareOf(policy, 2)
    // towards 1, towards 0, or towards even shares
    const goal = direction === 0 ? 0.25 : Math.max(0, direction)
    const least = direction === 0 ? -0.02 : 0.05
    expect(Math.abs(before - goal) - Math.abs(after - goal)).toBeGreaterThan(least)
  })

  it('without a judgement or without words changes nothing', () => {
    const policy = create()
    const before = shareOf(policy, 2)
    policy.learn({ words })
    policy.learn({ words: [], right: 1 })
    expect(shareOf(policy, 2)).toBe(before)
  })

  it('of rewards has the gradient of −log(1 − p) and of −log p', () => {
    const logits = Float64Array.of(0.2, -0.4, 1.1)
    const compute = (reward: number, at: Float64Array): number => {
      const total = at.reduce((sum, value) => sum + Math.exp(value), 0)
      const share = Math.exp(at[1]!) / total
      return reward >= 0.5
        ? -(2 * reward - 1) * Math.log(share)
        : -(1 - 2 * reward) * Math.log(1 - share)
    }
    for (const reward of [0, 0.2, 0.9, 1])
      for (let i = 0; i < 3; i++) {
        const up = logits.with(i, logits[i]! + 1e-5)
        const down = logits.with(i, logits[i]! - 1e-5)
        const slope = (compute(reward, up) - compute(reward, down)) / 2e-5
        expect(computeExpertErrors(logits, { chosen: 1, reward })![i]).toBeCloseTo(slope, 6)
      }
  })
})
