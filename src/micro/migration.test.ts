// What users of other MicroLoRAs expect: verdicts that set the length of a step, figures by session,
// sets of modules, memory before anything is made.

import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import type { Feedback } from './feedback.ts'
import { MicroLora } from './micro-lora.ts'
import type { MicroLoraOptions } from './options.ts'
import { randomVector } from './testing.ts'

const wide = randomVector(768, 1)
const x = randomVector(12, 1)
const target = randomVector(12, 2)
const small = { inFeatures: 12, outFeatures: 12 }

/** Read by the type check: another value of such a constant is a type error. */
type IsFeedback<Value> = Value extends Feedback ? true : false

const measureDistance = (a: Float32Array, b: Float32Array): number =>
  Math.hypot(...a.map((value, i) => value - b[i]!))

/** Length of the first step after one verdict about one explored output. */
function measureStep(feedback: { quality?: number; verdict?: 'good' | 'bad' }, seed = 3): number {
  const lora = new MicroLora({ seed })
  const before = lora.module().read('weights')
  lora.explore(wide)
  lora.adapt(wide, { explored: true, quality: feedback.quality, verdict: feedback.verdict })
  lora.applyUpdates(0.01)
  return measureDistance(lora.module().read('weights'), before)
}

describe('the step grows with the verdict', () => {
  it('0.6, 0.8 and 1.0 move the weights one, three and five times as far, at width 768', () => {
    const [faint, clear, full] = [0.6, 0.8, 1].map((quality) => measureStep({ quality }))
    expect(faint).toBeGreaterThan(1e-5)
    expect(clear! / faint!).toBeCloseTo(3, 1)
    expect(full! / faint!).toBeCloseTo(5, 1)
    expect(measureStep({ verdict: 'good' })).toBe(full)
  })
  it('good and bad move as far, in opposite directions', () => {
    const move = (quality: number): Float32Array => {
      const lora = new MicroLora({ seed: 3 })
      lora.explore(wide)
      lora.adapt(wide, { explored: true, quality })
      lora.applyUpdates(0.01)
      return lora.forward(wide)
    }
    const good = move(0.9)
    const bad = move(0.1)
    expect(
      measureDistance(
        good,
        bad.map((value) => -value),
      ),
    ).toBeLessThan(1e-3 * Math.hypot(...good))
  })
  it('no reward moves further than the bound, and targets are bounded as ever', () => {
    const lora = new MicroLora({ seed: 3 })
    const start = lora.module().read('weights')
    lora.adapt(wide, { emitted: randomVector(768, 5), reward: 100 })
    lora.applyUpdates(0.01)
    expect(measureDistance(lora.module().read('weights'), start)).toBeCloseTo(0.01, 5)
    lora.reset()
    lora.adapt(wide, { target: randomVector(768, 6), quality: 0.6 })
    lora.applyUpdates(0.01)
    expect(measureDistance(lora.module().read('weights'), start)).toBeCloseTo(0.01, 5)
  })
  it('continues the same after saving between adapt and applyUpdates', async () => {
    const lora = new MicroLora(small)
    lora.adapt(x, { emitted: 3, quality: 0.6 })
    lora.adapt(x, { target })
    const text = JSON.stringify(lora)
    const copies = [MicroLora.fromJSON(text), await MicroLora.fromSafetensors(lora.toSafetensors())]
    lora.applyUpdates(0.1)
    for (const copy of copies) {
      copy.applyUpdates(0.1)
      expect(copy.forward(x)).toEqual(lora.forward(x))
    }
  })
})

describe('a quality that gives no direction', () => {
  it('is a type error, and at run time an error that says what to do', () => {
    const lora = new MicroLora(small)
    const isFeedback: [IsFeedback<{ quality: 1 }>, IsFeedback<{ quality: 1; explored: true }>] = [
      false,
      true,
    ]
    expect(isFeedback).toEqual([false, true])
    const adapt = (): unknown => lora.adapt(x, { quality: 0.8 } as Feedback)
    for (const name of ['target', 'emitted', 'explored: true', 'gradient', 'lora.explore'])
      expect(adapt).toThrow(name)
    expect(() => lora.adapt(x, { target, gradient: target } as never)).toThrow('give one of them')
    expect(() => lora.adapt(x, { explored: true, emitted: 1, reward: 1 } as never)).toThrow(
      'leave it out',
    )
    expect(lora.statistics().adaptations).toBe(0)
  })
  it('is enough after explore, once for each output', () => {
    const lora = new MicroLora(small)
    lora.explore(x, { sessionId: 'a' })
    const feedback: Feedback = { explored: true, quality: 0.8, sessionId: 'a' }
    expect(lora.adapt(x, feedback)).toBeTypeOf('number')
    expect(() => lora.adapt(x, feedback)).toThrow('in session "a"; call lora.explore(input')
  })
})

describe('figures by session', () => {
  const talk = (): MicroLora => {
    const lora = new MicroLora(small)
    for (const quality of [0.2, 0.4, 0.6]) lora.adapt(x, { target, quality, sessionId: 'ada' })
    lora.adapt(x, { emitted: 2, verdict: 'good', sessionId: 'ben' })
    lora.adapt(x, { target, quality: 1 })
    return lora
  }
  it('are those of each session alone', () => {
    const lora = talk()
    const figures = lora.sessionStatistics()
    expect([...figures.keys()]).toEqual(['ada', 'ben'])
    const { adaptations, samples, meanQuality, variance, firstLoss } = figures.get('ada')!
    expect([adaptations, samples]).toEqual([3, 3])
    expect([meanQuality, variance]).toEqual([expect.closeTo(0.4), expect.closeTo(0.04)])
    expect(firstLoss).toBeGreaterThan(0)
    expect(figures.get('ben')).toMatchObject({ adaptations: 1, meanQuality: 1, firstLoss: 0 })
    expect(lora.statistics().samples).toBe(5)
  })
  it('are saved and restored, and gone after a reset', async () => {
    const lora = talk()
    const figures = lora.sessionStatistics()
    const back = [
      MicroLora.fromJSON(JSON.stringify(lora)),
      await MicroLora.fromSafetensors(lora.toSafetensors()),
    ]
    for (const copy of back) {
      expect(copy.sessionStatistics()).toEqual(figures)
      copy.adapt(x, { target, quality: 1, sessionId: 'ada' })
      expect(copy.sessionStatistics().get('ada')!.samples).toBe(4)
    }
    lora.reset()
    expect(lora.sessionStatistics().size).toBe(0)
  })
  it('are kept of the last 256', () => {
    const lora = new MicroLora(small)
    for (let i = 0; i < 300; i++) lora.adapt(x, { target, sessionId: `s${i}` })
    const names = [...lora.sessionStatistics().keys()]
    expect([names.length, names[0], names.at(-1)]).toEqual([256, 's44', 's299'])
  })
})

describe('targets', () => {
  it.each([
    ['defaults', ['q_proj', 'v_proj']],
    ['attention', ['q_proj', 'k_proj', 'v_proj', 'o_proj']],
    ['mlp', ['gate_proj', 'up_proj', 'down_proj']],
    ['embed', ['embed']],
    ['lm_head', ['lm_head']],
    [
      ['defaults', 'lm_head', 'q_proj', 'own'],
      ['q_proj', 'v_proj', 'lm_head', 'own'],
    ],
  ] as const)('%j are %j', (targets, names) => {
    const { config } = new MicroLora({ targets, inFeatures: 12, outFeatures: 12 })
    expect(Object.keys(config.modules)).toEqual(names)
    expect(Object.values(config.modules)).toEqual(names.map(() => small))
  })
  it('take the dimensions of modules that differ', () => {
    const lora = new MicroLora({
      targets: 'mlp',
      inFeatures: 12,
      outFeatures: 32,
      modules: { down_proj: { inFeatures: 32, outFeatures: 12 } },
    })
    expect(lora.forward(new Float32Array(32), undefined, 'down_proj')).toHaveLength(12)
    expect(lora.forward(x, undefined, 'up_proj')).toHaveLength(32)
    const back = MicroLora.fromJSON(JSON.stringify(lora))
    expect(back.config).toEqual(lora.config)
  })
  it.each([
    [{ targets: [] }, 'targets: got'],
    [{ targets: 'mlp', modules: { q_proj: small } }, 'modules.q_proj: is not among the targets'],
    [{ inFeatures: 12, modules: { q: small } }, 'leave inFeatures and outFeatures out'],
    [{ target: 'mlp' }, 'Did you mean "targets"?'],
  ])('%j is refused', (options, message) => {
    const make = (): unknown => new MicroLora(options as MicroLoraOptions)
    expect(make).toThrow(OptionError)
    expect(make).toThrow(message)
  })
})

describe('options that choose what ruvllm does', () => {
  it("init 'random' starts A in ±√(2/in), B at zero, by the seed", () => {
    const make = (options: MicroLoraOptions): Float32Array =>
      new MicroLora({ ...small, ...options }).module().read('weights')
    const random = make({ init: 'random', seed: 4 })
    const kaiming = make({ seed: 4 })
    expect(random.map((value) => Math.abs(value)).reduce((a, b) => Math.max(a, b))).toBeGreaterThan(
      1 / Math.sqrt(12),
    )
    for (const [i, value] of random.entries())
      expect(value).toBeCloseTo(Math.SQRT2 * kaiming[i]!, 6)
    expect(make({ init: 'random', seed: 4 })).toEqual(random)
    const lora = new MicroLora({ ...small, init: 'random' })
    expect(lora.forward(x).every((value) => value === 0)).toBe(true)
    expect(MicroLora.fromJSON(JSON.stringify(lora)).config.init).toBe('random')
  })
  it("rate 'times-variance' multiplies the rate by 1 + variance, 'variance' divides it", () => {
    const move = (rate: MicroLoraOptions['rate']): number => {
      const lora = new MicroLora({ ...small, rate })
      for (const quality of [0, 1]) lora.adapt(x, { target, quality })
      const before = lora.module().read('weights')
      lora.applyUpdates(0.01)
      return measureDistance(lora.module().read('weights'), before)
    }
    expect(move('times-variance') / move('fixed')).toBeCloseTo(1.5, 3) // variance ½
    expect(move('variance') / move('fixed')).toBeCloseTo(1 / 3, 3)
  })
  it('decay is refused, because it is momentum there and weight decay here', () => {
    const make = (): unknown => new MicroLora({ decay: 0.9 } as MicroLoraOptions)
    expect(make).toThrow(/decay: say momentum .* or weightDecay/)
  })
  it('files keep the key decay that earlier versions wrote', () => {
    const json = new MicroLora({ ...small, weightDecay: 0.25 }).toJSON()
    const { config } = json.state as { config: Record<string, unknown> }
    expect([config['decay'], 'weightDecay' in config, 'init' in config]).toEqual([
      0.25,
      false,
      false,
    ])
    expect(MicroLora.fromJSON(json).config.weightDecay).toBe(0.25)
  })
})

describe('memoryReport', () => {
  it.each([
    {},
    { rank: 4, optimizer: 'adam', bias: true },
    { targets: 'mlp', ewc: true, momentum: 0.9, inFeatures: 500 },
  ] as MicroLoraOptions[])('of %j is what the adapter takes', (options) => {
    const { sharedScratch, ...report } = MicroLora.memoryReport(options)
    const { sharedScratch: widest, ...taken } = new MicroLora(options).memory()
    expect(report).toEqual(taken)
    expect(sharedScratch).toBeLessThanOrEqual(widest)
    expect(sharedScratch).toBeGreaterThan(4 * 3 * 500)
  })
  it('keeps the default, and rank 2 with Adam, below 50 KB', () => {
    expect(MicroLora.memoryReport().total).toBe(24_576)
    expect(MicroLora.memoryReport({ optimizer: 'adam' }).total).toBe(49_152)
  })
})
