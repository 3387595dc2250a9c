// Checkpoints, validations and held-back examples of the trainer over vectors.

import { describe, expect, it } from 'vitest'
import { memoryFolder } from '../../../test/support/train.ts'
import { DataError, MismatchError, NumericError, OptionError } from '../../base/errors.ts'
import { createEmbeddingDataset } from '../datasets/adapter-dataset.ts'
import { splitDataset } from '../datasets/split-dataset.ts'
import { SyntheticDataGenerator } from '../datasets/synthetic/synthetic-data-generator.ts'
import type { StandaloneEvent } from './events.ts'
import type { StandaloneOptions } from './options.ts'
import { trainStandalone } from './train-standalone.ts'

const data = new SyntheticDataGenerator(16, 1).generate('coder', 200)
const optionsOf = (changed: Partial<StandaloneOptions> = {}): StandaloneOptions => ({
  adapter: { kind: 'lora', config: { rank: 4, targets: ['q_proj'], dropout: 0.1 } },
  data,
  validation: { data: 0.2, everySteps: 2 },
  epochs: 2,
  learningRate: 0.01,
  now: () => 0,
  ...changed,
})
const checkpointIn = (folder: ReturnType<typeof memoryFolder>, everySteps = 3) => ({
  sink: folder,
  source: folder,
  everySteps,
})

async function listEvents(
  options: StandaloneOptions,
  isLast: (event: StandaloneEvent) => boolean = () => false,
): Promise<StandaloneEvent[]> {
  const events: StandaloneEvent[] = []
  for await (const event of trainStandalone(options)) {
    events.push(event)
    if (isLast(event)) break
  }
  return events
}
const only = <Type extends StandaloneEvent['type']>(
  events: readonly StandaloneEvent[],
  type: Type,
) =>
  events.filter((event): event is Extract<StandaloneEvent, { type: Type }> => event.type === type)
const isStep = (step: number) => (event: StandaloneEvent) =>
  event.type === 'step-end' && event.step === step

describe('trainStandalone with checkpoints', () => {
  it.each(['lora', 'ia3'])('ends a %s with the same bits wherever it was killed', async (kind) => {
    const adapter =
      kind === 'lora' ? optionsOf().adapter : { kind, config: { targets: ['q_proj'] } }
    const whole = await listEvents(optionsOf({ adapter }))
    const { steps } = only(whole, 'data-ready')[0]!
    expect(steps).toBe(10)
    for (const kill of [1, 4, 5, 9]) {
      const checkpoint = checkpointIn(memoryFolder())
      await listEvents(optionsOf({ adapter, checkpoint }), isStep(kill))
      const resumed = await listEvents(optionsOf({ adapter, checkpoint }))
      const saved = Math.max(0, Math.floor((kill - 1) / 3) * 3)
      expect(only(resumed, 'data-ready')[0]).toMatchObject({ resumedAt: saved })
      expect(resumed.at(-1)).toEqual(whole.at(-1))
    }
  })
  it('continues where its signal stopped it, and has nothing left to do once finished', async () => {
    const whole = await listEvents(optionsOf())
    const checkpoint = checkpointIn(memoryFolder())
    const controller = new AbortController()
    const { signal } = controller
    for await (const event of trainStandalone(optionsOf({ checkpoint, signal })))
      if (isStep(7)(event)) controller.abort()
    const resumed = await listEvents(optionsOf({ checkpoint }))
    expect(only(resumed, 'data-ready')[0]).toMatchObject({ resumedAt: 7 })
    expect(resumed.at(-1)).toEqual(whole.at(-1))
    const again = await listEvents(optionsOf({ checkpoint }))
    expect(again.map(({ type }) => type)).toEqual(['data-ready', 'train-end'])
    expect(again.at(-1)).toEqual(whole.at(-1))
  })
  it('refuses the checkpoint of another run', async () => {
    const checkpoint = checkpointIn(memoryFolder())
    await listEvents(optionsOf({ checkpoint }))
    await expect(listEvents(optionsOf({ checkpoint, seed: 3 }))).rejects.toThrow(MismatchError)
    const other = new SyntheticDataGenerator(16, 2).generate('coder', 200)
    await expect(listEvents(optionsOf({ checkpoint, data: other }))).rejects.toThrow(/data: got/)
  })
  it('names the last good state where it diverges', async () => {
    const checkpoint = checkpointIn(memoryFolder(), 1)
    const diverging = optionsOf({ checkpoint, optimizer: 'sgd', learningRate: 1e4, clip: 0 })
    const failed = listEvents(diverging)
    await expect(failed).rejects.toThrow(NumericError)
  })
})

describe('validation of trainStandalone', () => {
  it('is every n steps, or after each epoch', async () => {
    const stepsOf = async (validation: StandaloneOptions['validation']): Promise<number[]> =>
      only(await listEvents(optionsOf({ validation })), 'validation-end').map(({ step }) => step)
    expect(await stepsOf({ data: 0.2, everySteps: 4 })).toEqual([4, 8, 10])
    expect(await stepsOf(0.2)).toEqual([5, 10])
  })
  it('of true holds out the fifth that splitDataset holds out by the same seed', async () => {
    const automatic = await listEvents(optionsOf({ validation: true }))
    expect(only(automatic, 'data-ready')[0]).toMatchObject({ examples: 160, validation: 40 })
    const { train, validation } = splitDataset(data, { seed: 0 })
    const parted = await listEvents(optionsOf({ data: train, validation }))
    expect(parted.at(-1)).toMatchObject({
      history: (automatic.at(-1) as { history: object }).history,
    })
    const other = await listEvents(optionsOf({ validation: true, seed: 1 }))
    expect(other.at(-1)).not.toMatchObject({
      history: (automatic.at(-1) as { history: object }).history,
    })
  })
  it('refuses shares that leave nothing, and wrong forms', async () => {
    await expect(listEvents(optionsOf({ validation: 1.5 }))).rejects.toThrow(OptionError)
    await expect(listEvents(optionsOf({ validation: false as never }))).rejects.toThrow(
      /validation/,
    )
  })
})

describe('an example without a target', () => {
  it('is refused by its number, with what to do', () => {
    const make = () =>
      createEmbeddingDataset('verdicts', 2, [
        { input: [1, 2], target: [1, 2] },
        { input: [1, 2], quality: 0.9 } as never,
      ])
    expect(make).toThrow(DataError)
    expect(make).toThrow(/example 2: target: got nothing, expected a list .*MicroLora\.adapt/)
  })
})
