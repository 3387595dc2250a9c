import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/index.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { expectClose } from '../../graph/testing.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createModel, type Head, type Model } from '../../runtime/index.ts'
import type { LayerTier } from './layer-tier.ts'
import { combineExperts, createLayerTiers, type LayerTiers } from './layer-tier-program.ts'
import { learnLayers } from './learn-layers.ts'
import type { LayerTiersOptions } from './tier-options.ts'
import { createHeadLoss } from './head-gradient.ts'
import { createTierStack } from './tier-stack.ts'

const folder = new URL('../../catalogue/models/stories260k', import.meta.url).pathname
const onnx = createOnnxRuntimeBackend(ort as never, { threads: 1 })
let compiled = 0
const backend: Backend = {
  name: onnx.name,
  compile: (...given) => (compiled++, onnx.compile(...given)),
}
let model: Model
let head: Head
const made: LayerTiers[] = []

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend })
  head = model.head('exact')
})
afterAll(async () => {
  await Promise.all(made.map((tiers) => tiers.dispose()))
  await model.dispose()
})

const tiersOf = (options: LayerTiersOptions = {}): LayerTiers => {
  const tiers = createLayerTiers({ base: model.base, backend }, options)
  made.push(tiers)
  return tiers
}
const ids = [1, 80, 90, 100, 33, 7, 260, 12, 200, 44]
const rows = [3, 4, 6, 8] // positions whose next tokens are scored
const tokens = rows.map((row) => ids[row + 1]!)
const shares = rows.map(() => 1 / rows.length)

/** States that enter a layer, by the model with an adapter. */
async function statesAt(layer: number, adapter?: Adapter): Promise<F32Tensor> {
  const taken: Float32Array[] = []
  await model.hidden([ids.slice(0, -1)], {
    at: 'none',
    states: { layer, take: (_, states) => void taken.push(states.slice()) },
    ...(adapter && { adapter }),
  })
  return f32([ids.length - 1, model.config.width], taken[0]!)
}
const slowAdapter = (): Adapter =>
  initializeAdapter('lora', { rank: 3, targets: 'all-linear', start: 'random' }, model.base.graph, {
    seed: 5,
  })
const errorsOf = async (hidden: F32Tensor) =>
  createHeadLoss(head, 'all').compute(await head.logits(hidden), tokens, shares)
const lossOf = async (hidden: F32Tensor): Promise<number> =>
  (await errorsOf(hidden)).losses.reduce((sum, loss, i) => sum + shares[i]! * loss, 0)

/** A tier after some steps. */
async function learned(
  tiers: LayerTiers,
  steps: number,
  slow?: Adapter,
): Promise<{ tier: LayerTier; input: Parameters<LayerTier['hidden']>[0] }> {
  const tier = tiers.createTier()
  const input = { states: await statesAt(tiers.layer, slow), rows, below: await tiers.below(slow) }
  for (let i = 0; i < steps; i++) {
    const { gradient } = await errorsOf(await tier.hidden(input))
    await tier.step(input, f32([rows.length, model.config.width], gradient))
  }
  return { tier, input }
}

const places: readonly (readonly [string, LayerTiersOptions])[] = [
  ['all linear layers of the last two', {}],
  ['attention everywhere', { where: { modules: 'attention' }, rank: 1 }],
  ['feed-forward of given layers', { where: { modules: 'feed-forward', layers: [1, 3] }, rank: 4 }],
  ['a preset of adapters', { where: { modules: 'mlp', layers: { last: 1 } } }],
  ['values of the last layer', { where: { modules: ['v_proj'], layers: { last: 1 } }, rank: 16 }],
]

describe.each(places)('a fast tier on %s', (_, options) => {
  it('has the gradient of the true loss, by finite differences', async () => {
    const { tier, input } = await learned(tiersOf(options), 3)
    const { gradient } = await errorsOf(await tier.hidden(input))
    const gradients = await tier.gradients(input, f32([rows.length, model.config.width], gradient))
    expect(gradients.size).toBeGreaterThan(0)
    for (const [key, { data }] of gradients) {
      const values = tier
        .tensors()
        .get(`deep.weights.${key.replace('base_model.model.', '')}`)!.data
      const at = data.reduce(
        (best, value, i) => (Math.abs(value) > Math.abs(data[best]!) ? i : best),
        0,
      )
      const own = values[at]!
      const shifted = async (by: number): Promise<number> => {
        values[at] = own + by
        const loss = await lossOf(await tier.hidden(input))
        values[at] = own
        return loss
      }
      const slope = ((await shifted(5e-3)) - (await shifted(-5e-3))) / 1e-2
      expect(Math.abs(data[at]! - slope), key).toBeLessThan(1e-3 + 0.03 * Math.abs(slope))
    }
  })

  it('has the whole model’s gradient for the same adapter', async () => {
    const { tier, input } = await learned(tiersOf(options), 2)
    const { gradient } = await errorsOf(await tier.hidden(input))
    const gradients = await tier.gradients(input, f32([rows.length, model.config.width], gradient))
    const labels = ids.map((id, t) => (rows.includes(t - 1) ? id : -100))
    const whole = await model.gradients([ids], [labels], { adapter: tier.adapter! })
    expect([...gradients.keys()].toSorted()).toEqual([...whole.gradients.keys()].toSorted())
    for (const [key, tensor] of gradients) expectClose(tensor, whole.gradients.get(key)!, 2e-5, key)
  })

  it('descends: the loss falls over the first turns', async () => {
    const tiers = tiersOf(options)
    const losses: number[] = []
    for (const steps of [0, 1, 4, 12]) {
      const { tier, input } = await learned(tiers, steps)
      losses.push(await lossOf(await tier.hidden(input)))
    }
    for (let i = 1; i < losses.length; i++) expect(losses[i]!).toBeLessThan(losses[i - 1]!)
  })
})

describe('serving', () => {
  it('writes what the tier knows, over a slow adapter as their exact sum, and compiles nothing after a step', async () => {
    const slow = slowAdapter()
    const tiers = tiersOf()
    const { tier, input } = await learned(tiers, 4, slow)
    const served = async (): Promise<F32Tensor> => {
      const [found] = await model.hidden([ids.slice(0, -1)], {
        at: [rows],
        adapter: combineExperts(tier, slow),
      })
      return f32(
        [rows.length, model.config.width],
        Float32Array.from(found!.flatMap((row) => [...row])),
      )
    }
    const first = await served()
    expectClose(first, await tier.hidden(input), 1e-4)
    const before = compiled
    await tier.step(input, f32([rows.length, model.config.width], (await errorsOf(first)).gradient))
    expectClose(await served(), await tier.hidden(input), 1e-4)
    expect(compiled).toBe(before)
    expect(combineExperts(tier, slow)).toBe(combineExperts(tier, slow))
    expect((await tier.hidden({ ...input, below: undefined })).data).not.toEqual(
      (await tier.hidden(input)).data,
    )
  })
  it('is the slow adapter’s, or the base’s, before the first step', async () => {
    const slow = slowAdapter()
    const { tier, input } = await learned(tiersOf(), 0, slow)
    expect(combineExperts(tier, slow)).toBe(slow)
    expect(combineExperts(tier, undefined)).toBeUndefined()
    const [found] = await model.hidden([ids.slice(0, -1)], { at: [rows], adapter: slow })
    const own = f32(
      [rows.length, model.config.width],
      Float32Array.from(found!.flatMap((row) => [...row])),
    )
    expectClose(await tier.hidden(input), own, 1e-4)
  })
})

describe('users', () => {
  it('share a program and nothing else', async () => {
    const tiers = tiersOf()
    await learned(tiers, 1)
    const before = compiled
    const [{ tier: ada, input }, { tier: eve }] = [await learned(tiers, 5), await learned(tiers, 0)]
    expect(compiled).toBe(before)
    const untaught = await lossOf(await eve.hidden(input))
    expect(await lossOf(await ada.hidden(input))).toBeLessThan(untaught - 0.05)
    ada.clear()
    expect(await lossOf(await ada.hidden(input))).toBe(untaught)
    expect([...ada.tensors()]).toEqual([...eve.tensors()])
  })

  it('continue from their tensors as if never stopped', async () => {
    const tiers = tiersOf({ where: { modules: 'all-linear', layers: { last: 2 }, top: 5 } })
    const { tier, input } = await learned(tiers, 3)
    const again = tiers.createTier()
    again.restore(
      new Map(
        [...tier.tensors()].map(([name, { shape, data }]) => [name, f32(shape, data.slice())]),
      ),
      tier.steps,
    )
    const error = f32(
      [rows.length, model.config.width],
      (await errorsOf(await tier.hidden(input))).gradient,
    )
    for (const each of [tier, again]) await each.step(input, error)
    expect(again.tensors()).toEqual(tier.tensors())
    expect(again.steps).toBe(4)
    expect(() => tiersOf({ rank: 4 }).createTier().restore(tier.tensors(), 1)).toThrow(ShapeError)
  })
})

describe('a step', () => {
  it('with `top` goes to the modules of the largest gradients', async () => {
    const tiers = tiersOf({ where: { modules: 'all-linear', layers: { last: 2 }, top: 3 } })
    const tier = tiers.createTier()
    const input = { states: await statesAt(tiers.layer), rows }
    const error = f32(
      [rows.length, model.config.width],
      (await errorsOf(await tier.hidden(input))).gradient,
    )
    const norms = new Map<string, number>()
    for (const [key, { data }] of await tier.gradients(input, error)) {
      const module = key.replace('base_model.model.', '').replace(/\.lora_[AB]\.weight$/, '')
      norms.set(
        module,
        (norms.get(module) ?? 0) + data.reduce((sum, value) => sum + value * value, 0),
      )
    }
    await tier.step(input, error)
    const largest = [...norms].toSorted((a, b) => b[1] - a[1]).slice(0, 3)
    expect([...tier.lastModules].toSorted()).toEqual(largest.map(([module]) => module).toSorted())
    const changed = [...tier.tensors()].filter(
      ([name, { data }]) => /weights.*lora_B/.test(name) && data.some((value) => value !== 0),
    )
    expect(changed).toHaveLength(3)
  })
  it('is held within its trust region at any rate', async () => {
    const tiers = tiersOf({ learningRate: 10, trust: 0.05 })
    const { tier, input } = await learned(tiers, 1)
    for (let i = 0; i < 4; i++) {
      const before = tier.adapter!
      await tier.step(
        input,
        f32([rows.length, model.config.width], (await errorsOf(await tier.hidden(input))).gradient),
      )
      expect(tier.lastRelativeStep).toBeLessThan(0.0501)
      expect(tier.lastRelativeStep).toBeGreaterThan(0.049)
      expect(tier.adapter).not.toBe(before)
    }
  })
  it('from NaN is refused and leaves everything as it was', async () => {
    const { tier, input } = await learned(tiersOf(), 2)
    const before = [...tier.tensors()].map(([name, { data }]) => [name, [...data]])
    const bad = f32(
      [rows.length, model.config.width],
      new Float32Array(rows.length * model.config.width).fill(Number.NaN),
    )
    await expect(tier.step(input, bad)).rejects.toThrow(NumericError)
    await expect(
      tier.step(
        {
          ...input,
          states: f32(
            input.states.shape,
            input.states.data.map(() => Infinity),
          ),
        },
        bad,
      ),
    ).rejects.toThrow(NumericError)
    await expect(tier.step(input, f32([1, model.config.width]))).rejects.toThrow(ShapeError)
    await expect(tier.hidden({ ...input, states: f32([2, 3]) })).rejects.toThrow(ShapeError)
    expect([...tier.tensors()].map(([name, { data }]) => [name, [...data]])).toEqual(before)
    expect(tier.steps).toBe(2)
  })
})

describe('a turn', () => {
  it('teaches the layers, and head and memory along with them', async () => {
    const tiers = tiersOf({ learningRate: 0.01 })
    const errors = createHeadLoss(head)
    const example = { states: await statesAt(tiers.layer), rows, tokens }
    const after: number[] = []
    for (const stack of [
      createTierStack(head, errors, { fast: false, memory: false }),
      createTierStack(head, errors, { memory: false }),
      createTierStack(head, errors),
    ]) {
      const tier = tiers.createTier()
      const first = await learnLayers(tier, stack, example)
      for (let i = 0; i < 5; i++) await learnLayers(tier, stack, example)
      const { losses } = await learnLayers(tier, stack, example)
      const total = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0)
      expect([tier.steps, stack.fast?.steps ?? 7]).toEqual([7, 7])
      expect(total(losses)).toBeLessThan(total(first.losses) - 0.3)
      after.push(total(losses))
    }
    expect(after[2]!).toBeLessThan(after[0]! - 1) // the memory knows the turn by now
  })

  it('gives the layers the gradient below the head’s own tier', async () => {
    const stack = createTierStack(head, createHeadLoss(head, 'all'), {
      memory: false,
      fast: { learningRate: 0.05 },
    })
    const tiers = tiersOf()
    const { tier, input } = await learned(tiers, 0)
    const hidden = (await tier.hidden(input)).data.slice()
    for (let i = 0; i < 4; i++) await stack.learn({ hidden, tokens })
    const lossAt = async (values: Float32Array): Promise<number> => {
      const { losses } = await stack.score({ hidden: values, tokens })
      return losses.reduce((sum, loss) => sum + loss, 0) / tokens.length
    }
    const at = 70
    const shifted = (by: number): Promise<number> =>
      lossAt(hidden.map((value, i) => (i === at ? value + by : value)))
    const slope = ((await shifted(0.02)) - (await shifted(-0.02))) / 0.04
    const { gradient } = await stack.learn({ hidden, tokens })
    expect(Math.abs(gradient[at]! - slope)).toBeLessThan(1e-3 + 0.02 * Math.abs(slope))
  })

  it('of states with NaN, or with rows outside of them, is refused and nothing is learned', async () => {
    const tiers = tiersOf()
    const tier = tiers.createTier()
    const stack = createTierStack(head, createHeadLoss(head))
    const states = await statesAt(tiers.layer)
    const damaged = f32(
      states.shape,
      states.data.map((value, i) => (i === 7 ? Number.NaN : value)),
    )
    await expect(learnLayers(tier, stack, { states: damaged, rows, tokens })).rejects.toThrow(
      NumericError,
    )
    await expect(learnLayers(tier, stack, { states, rows: [1, 2, 3, 99], tokens })).rejects.toThrow(
      /no row 99.*9 tokens/,
    )
    expect([tier.steps, stack.fast!.steps, stack.memory!.count]).toEqual([0, 0, 0])
  })
})

describe('target modules', () => {
  it.each([
    [
      { where: { modules: 'everything' } },
      /no strategy "everything"; there are head, default, attention, mlp, all-linear, feed-forward/,
    ],
    [{ where: { modules: 'head' } }, /"head" is not a module of any layer/],
    [{ where: { modules: ['q_prog'] } }, /"q_prog".*q_proj/s],
    [
      { where: { modules: 'attention', layers: [2, 5, 9] } },
      /no layer 5, 9 \(the model has 5, from 0\)/,
    ],
    [
      { where: { modules: 'attention', layers: { last: 6 } } },
      /layers\.last: got 6, expected an integer from 1 to 5/,
    ],
    [
      { where: { modules: 'attention', layers: [], top: 0 } },
      /where.layers: got \[\].*where.top: got 0/,
    ],
    [{ rank: 17 }, /rank: got 17, expected an integer from 1 to 16/],
  ] as const)('%o are refused', (options, message) => {
    expect(() => createLayerTiers({ base: model.base, backend }, options)).toThrow(OptionError)
    expect(() => createLayerTiers({ base: model.base, backend }, options)).toThrow(message)
  })
  it.each([{ learningRate: 0 }, { trust: -1 }])('steps of %o are refused', (options) => {
    expect(() => tiersOf(options).createTier()).toThrow(OptionError)
  })
  it('begin at the lowest layer they touch, and cost what their modules hold', () => {
    const tiers = tiersOf({ where: { modules: ['v_proj'], layers: [4, 2] }, rank: 2 })
    expect(tiers.layer).toBe(2)
    expect(tiers.resolvedTargets.modules).toEqual([
      'model.layers.2.self_attn.v_proj',
      'model.layers.4.self_attn.v_proj',
    ])
    const { width, kvHeads, headWidth } = model.config
    expect(tiers.createTier().parameters).toBe(2 * 2 * (width + kvHeads * headWidth))
  })
})
