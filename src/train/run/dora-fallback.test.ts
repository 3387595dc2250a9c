// A DoRA run that diverges continues as LoRA, on a program without a model.

import { beforeAll, describe, expect, it } from 'vitest'
import { memoryFolder, quadraticProgram, storiesModel } from '../../../test/support/train.ts'
import { checkpointIn, countingOptions, endOf, only } from '../../../test/support/train-runs.ts'
import { NumericError, OptionError } from '../../base/errors.ts'
import type { TrainEvent } from '../events.ts'
import type { TrainOptions } from '../options/options.ts'
import type { SharedPrograms } from '../programs/shared-programs.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { train } from './train.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

/** The loss of a DoRA is NaN at this batch, counted from 1. */
const breakDora = (atBatch: number): SharedPrograms => ({
  take: async ({ adapter }) => {
    const sound = quadraticProgram()
    let batches = 0
    return {
      ...sound,
      gradients: async (...given) => {
        batches++
        const measured = await sound.gradients(...given)
        return adapter.kind === 'dora' && batches === atBatch
          ? { ...measured, loss: NaN }
          : measured
      },
    }
  },
  dispose: async () => undefined,
})

const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions =>
  countingOptions(model, {
    adapter: { kind: 'dora', config: { rank: 2, targets: ['q_proj'] } },
    onDivergence: 'lora',
    programs: breakDora(11),
    ...changed,
  })

async function listEvents(options: TrainOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(options)) events.push(event)
  return events
}

describe('a DoRA run that diverges', () => {
  it('continues as LoRA after its last good checkpoint, and reports it', async () => {
    const events = await listEvents(optionsOf({ checkpoint: checkpointIn(memoryFolder()) }))
    const [changed] = only(events, 'kind-changed')
    expect(changed).toMatchObject({ kind: 'lora', step: 7, goesOnAfter: 4 })
    expect(changed!.reason).toMatch(/^Training stopped at step 7: the loss is NaN/)
    const { steps } = only(events, 'data-ready')[0]!
    const end = endOf(events)
    expect(end).toMatchObject({ reason: 'finished', last: { step: steps } })
    expect(end.history.steps.map(({ step }) => step)).toEqual(
      Array.from({ length: steps }, (_, i) => i + 1),
    )
    for (const { adapter } of [end.best, end.last]) {
      expect(adapter.kind).toBe('lora')
      expect([...adapter.tensors.keys()].filter((key) => key.includes('magnitude'))).toEqual([])
    }
  })
  it('starts anew as LoRA where it has no checkpoint', async () => {
    const events = await listEvents(optionsOf())
    expect(only(events, 'kind-changed')[0]).toMatchObject({ goesOnAfter: 0 })
    expect(endOf(events).adapter.kind).toBe('lora')
  })
  it('ends with the same bits where it is stopped as LoRA and resumed', async () => {
    const whole = await listEvents(optionsOf({ checkpoint: checkpointIn(memoryFolder()) }))
    const folder = memoryFolder()
    let hasChanged = false
    for await (const event of train(optionsOf({ checkpoint: checkpointIn(folder) }))) {
      hasChanged ||= event.type === 'kind-changed'
      if (hasChanged && event.type === 'checkpoint-saved' && event.step === 6) break
    }
    const resumed = await listEvents(
      optionsOf({ checkpoint: checkpointIn(folder), onDivergence: 'error' }),
    )
    expect(only(resumed, 'data-ready')[0]).toMatchObject({ resumedAt: 6 })
    expect(endOf(resumed)).toEqual(endOf(whole))
  })
  it('ends with an error unless it was asked to go on', async () => {
    await expect(listEvents(optionsOf({ onDivergence: undefined }))).rejects.toThrow(NumericError)
  })
  it('is the only one that can go on so', async () => {
    const adapter = { kind: 'lora', config: { rank: 2 } }
    await expect(listEvents(optionsOf({ adapter }))).rejects.toThrow(OptionError)
    await expect(listEvents(optionsOf({ adapter }))).rejects.toThrow(/is of kind lora/)
  })
})
