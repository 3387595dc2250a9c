import { describe, expect, it } from 'vitest'
import { createRole } from '../../adapters/roles.ts'
import { createStandalone } from '../../adapters/vectors/create.ts'
import { createStandaloneForward } from '../../adapters/vectors/forward.ts'
import { DataError, MismatchError, NumericError, OptionError } from '../../base/errors.ts'
import { merge } from '../../merge/index.ts'
import {
  createTextDataset,
  type EmbeddingDataset,
  selectExamples,
} from '../datasets/adapter-dataset.ts'
import { hashDataset } from '../datasets/dataset-files.ts'
import { splitDataset } from '../datasets/split-dataset.ts'
import { SyntheticDataGenerator } from '../datasets/synthetic/synthetic-data-generator.ts'
import type { StandaloneEvent } from './events.ts'
import type { StandaloneOptions } from './options.ts'
import { trainStandalone } from './train-standalone.ts'

const width = 24
const data = new SyntheticDataGenerator(width, 1).generate('coder', 400)
const { train, validation } = splitDataset(data, { seed: 1 })
const lora = { kind: 'lora', config: { rank: 8, targets: ['q_proj'] } }

type Ended = Extract<StandaloneEvent, { type: 'train-end' }>

async function run(
  options: Partial<StandaloneOptions> = {},
): Promise<{ events: StandaloneEvent[]; end: Ended }> {
  const events: StandaloneEvent[] = []
  for await (const event of trainStandalone({ adapter: lora, data: train, ...options }))
    events.push(event)
  return { events, end: events.at(-1) as Ended }
}

/** Mean squared error without weights, by the forward pass that users call. */
function errorOf(
  forward: (x: Float32Array) => Float32Array,
  { inputs, targets }: EmbeddingDataset,
): number {
  const y = forward(inputs)
  return y.reduce((sum, value, i) => sum + (value - targets[i]!) ** 2, 0) / y.length
}

describe('trainStandalone', () => {
  it('learns what the role does, with events in order and a history', async () => {
    const { events, end } = await run({ validation, epochs: 3, learningRate: 0.01 })
    expect(events[0]).toEqual({
      type: 'data-ready',
      examples: 320,
      used: 320,
      validation: 80,
      steps: 30,
      trainableParameters: 2 * 8 * width,
      resumedAt: 0,
      refusedCheckpoints: [],
    })
    expect(events.map(({ type }) => type).filter((type) => type !== 'step-end')).toEqual([
      'data-ready',
      ...Array(3).fill('validation-end'),
      'train-end',
    ])
    expect(end.history.steps).toHaveLength(30)
    expect(end.reason).toBe('finished')
    const before = errorOf((x) => x, validation)
    const after = errorOf(createStandaloneForward(end.adapter, width), validation)
    expect(after).toBeLessThan(0.5 * before)
    expect(end.adapter.metadata).toEqual({
      graft_scores: JSON.stringify({ validation_loss: end.best.loss }),
      data_sha256: await hashDataset(train),
    })
    expect(end.adapter.baseModel).toBe(`standalone-${width}`)
  })
  it('reports the loss of the forward pass', async () => {
    const { end } = await run({
      validation: { ...validation, quality: validation.quality.map(() => 0.5) },
    })
    expect(end.best.loss).toBeCloseTo(
      errorOf(createStandaloneForward(end.adapter, width), validation),
      4,
    )
  })
  it('gives the same numbers again, and others for another seed', async () => {
    const one = await run({ preset: 'quick' })
    const again = await run({ preset: 'quick' })
    const other = await run({ preset: 'quick', seed: 1 })
    expect(again.end.adapter).toEqual(one.end.adapter)
    expect(other.end.adapter.tensors).not.toEqual(one.end.adapter.tensors)
  })
  it('has presets: quick takes one epoch at 0.005, stable five at 0.0005; explicit options take precedence', async () => {
    const quick = await run({ preset: 'quick' })
    const stable = await run({ preset: 'stable' })
    const own = await run({ preset: 'stable', epochs: 2 })
    const highest = ({ end }: { end: Ended }): number =>
      Math.max(...end.history.steps.map(({ learningRate }) => learningRate))
    expect([quick.end.history.steps.length, highest(quick)]).toEqual([10, 0.005])
    expect([stable.end.history.steps.length, highest(stable)]).toEqual([50, 0.0005])
    expect([own.end.history.steps.length, highest(own)]).toEqual([20, 0.0005])
  })
  it('listens to good examples: bad ones of low quality hurt less than bad ones of full quality', async () => {
    const wrong = {
      ...train,
      targets: train.targets.map((value, i) =>
        Math.floor(i / width) % 3 === 0 ? -3 * value : value,
      ),
    }
    const good = (weight: number): Float32Array =>
      train.quality.map((_, i) => (i % 3 === 0 ? weight : 1))
    const settings = { epochs: 4, learningRate: 0.01 }
    const weighted = await run({ ...settings, data: { ...wrong, quality: good(0.02) } })
    const flat = await run({ ...settings, data: { ...wrong, quality: good(1) } })
    const error = ({ end }: { end: Ended }): number =>
      errorOf(createStandaloneForward(end.adapter, width), validation)
    expect(error(weighted)).toBeLessThan(0.5 * error(flat))
  })
  it('leaves out examples of quality 0 without a trace', async () => {
    const half = { ...train, quality: train.quality.map((value, i) => (i < 160 ? value : 0)) }
    const some = await run({ data: half })
    const same = await run({
      data: selectExamples(
        train,
        Array.from({ length: 160 }, (_, i) => i),
      ),
    })
    expect(some.events[0]).toMatchObject({ examples: 320, used: 160 })
    expect(some.end.adapter.tensors).toEqual(same.end.adapter.tensors)
  })
  it.each(['sgd', 'lion', 'adafactor'])(
    'takes the optimiser %s from the table',
    async (optimizer) => {
      const learningRate = optimizer === 'sgd' ? 0.5 : 0.002
      const { end } = await run({ optimizer, learningRate, epochs: 3, clip: 0 })
      expect(end.history.steps.at(-1)!.loss).toBeLessThan(0.9 * end.history.steps[0]!.loss)
    },
  )
  it.each(['dora', 'ia3', 'lokr'])('trains a %s through its graph', async (kind) => {
    const few = selectExamples(
      train,
      Array.from({ length: 64 }, (_, i) => i),
    )
    // what every kind can learn
    const stretched = { ...few, targets: few.inputs.map((value) => 1.4 * value) }
    const { end } = await run({
      adapter: { kind, config: {} },
      data: stretched,
      epochs: 6,
      rows: 16,
      learningRate: 0.02,
    })
    expect(end.adapter.kind).toBe(kind)
    expect(end.history.steps.at(-1)!.loss).toBeLessThan(0.95 * end.history.steps[0]!.loss)
  })
  it('continues from an adapter, and leaves that one as it was', async () => {
    const { end } = await run({ preset: 'quick' })
    const before = structuredClone(end.adapter.tensors)
    const more = await run({
      adapter: end.adapter,
      steps: 4,
      learningRate: 0.002,
      schedule: 'constant',
    })
    expect(more.end.history.steps).toHaveLength(4)
    expect(end.adapter.tensors).toEqual(before)
    expect(more.end.adapter.tensors).not.toEqual(before)
  })
  it('stops where validations do not get better, and keeps the best', async () => {
    const wild = { validation, epochs: 30, learningRate: 0.1, schedule: 'constant', patience: 2 }
    const { end } = await run(wild)
    expect(end.reason).toBe('early-stopped')
    const losses = end.history.validations.map(({ loss }) => loss)
    expect(losses.length).toBeLessThan(30)
    expect(end.best.loss).toBe(Math.min(...losses))
    await expect(run({ ...wild, epochs: 2 })).rejects.toThrow(/patience of 2 could never happen/)
    await expect(run({ patience: 2 })).rejects.toThrow(/nothing is validated/)
  })
  it('ends between two steps when it is asked to', async () => {
    const controller = new AbortController()
    const events: StandaloneEvent[] = []
    for await (const event of trainStandalone({
      adapter: lora,
      data: train,
      signal: controller.signal,
    })) {
      events.push(event)
      if (event.type === 'step-end' && event.step === 3) controller.abort()
    }
    expect(events.at(-1)).toMatchObject({ type: 'train-end', reason: 'stopped', last: { step: 3 } })
  })
  it('reports everything that is wrong before it begins', async () => {
    await expect(
      run({ epochs: 0, rows: 1.5, optimizer: 'adam', scheduleOptions: { nothing: 1 } }),
    ).rejects.toThrow(/epochs: got.*optimizer: got.*rows: got.*nothing/)
    await expect(run({ preset: 'slow' as 'quick' })).rejects.toThrow(OptionError)
    await expect(run({ adapter: createStandalone('lora', {}, { width: 5 }) })).rejects.toThrow(
      MismatchError,
    )
    await expect(run({ data: { ...train, quality: train.quality.map(() => 0) } })).rejects.toThrow(
      DataError,
    )
    await expect(
      run({ validation: new SyntheticDataGenerator(9, 1).generate('coder', 4) }),
    ).rejects.toThrow(/have 9 numbers/)
  })
  it('refuses texts and options that are unknown, with what was meant', async () => {
    const texts = createTextDataset('texts', [{ row: { prompt: 'a', completion: 'b' } }])
    await expect(run({ data: texts as never })).rejects.toThrow(
      'data: got texts, expected a data set of vectors',
    )
    await expect(run({ epoch: 3, ewc: { stat: 1 } } as never)).rejects.toThrow(
      /"epoch". Did you mean "epochs".*"ewc.stat". Did you mean "ewc.state"/,
    )
    await expect(trainStandalone({} as never).done).rejects.toThrow(/adapter: got nothing.*data:/)
    await expect(trainStandalone(undefined as never).done).rejects.toThrow(OptionError)
  })
  it('has the result without a loop', async () => {
    const { adapter, history } = await trainStandalone({ adapter: lora, data: train }).done
    const { end } = await run()
    expect([adapter.tensors, history]).toEqual([end.adapter.tensors, end.history])
  })
  it('stops a run that diverges, and names the step', async () => {
    await expect(run({ optimizer: 'sgd', learningRate: 1e6, clip: 0, epochs: 5 })).rejects.toThrow(
      NumericError,
    )
    await expect(run({ learningRate: 50, epochs: 5, schedule: 'constant' })).rejects.toThrow(
      /at step \d+/,
    )
  })
})

describe('trained adapters', () => {
  it('are merged like every LoRA: the merge maps as the weighted sum of both', async () => {
    const of = async (role: string) =>
      (
        await run({
          adapter: createRole(role, width, { seed: 1 }),
          data: new SyntheticDataGenerator(width, 2).generate(role, 200),
        })
      ).end.adapter
    const one = await of('coder')
    const other = await of('reviewer')
    const merged = merge([one, other], { method: 'weighted', weights: [0.7, 0.3] })
    const x = validation.inputs
    const a = createStandaloneForward(one, width)
    const b = createStandaloneForward(other, width)
    const sum = createStandaloneForward(merged, width)(x)
    const first = a(x)
    const second = b(x)
    sum.forEach((value, i) =>
      expect(value).toBeCloseTo(x[i]! + 0.7 * (first[i]! - x[i]!) + 0.3 * (second[i]! - x[i]!), 4),
    )
  })
})
