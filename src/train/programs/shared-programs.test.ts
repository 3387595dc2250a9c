import { beforeAll, describe, expect, it } from 'vitest'
import { storiesModel } from '../../../test/support/train.ts'
import { countingOptions, weightsOf } from '../../../test/support/train-runs.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { TrainEvent } from '../events.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from './trainable-model.ts'
import { createSharedPrograms } from './shared-programs.ts'
import { train } from '../run/train.ts'

let model: TrainableModel
let compiled = 0
beforeAll(async () => {
  const stories = await storiesModel()
  const weights = await stories.weights()
  model = {
    ...stories,
    weights: async () => weights,
    backend: {
      ...stories.backend,
      compile: (...given) => (compiled++, stories.backend.compile(...given)),
    },
  }
})
async function run(changed: Partial<TrainOptions> = {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(countingOptions(model, { steps: 2, ...changed })))
    events.push(event)
  return events
}
const pairs = createRawDataset([{ prompt: 'Count:', chosen: ' one', rejected: ' two' }], 'pairs')
const lora = (rank: number) => ({
  adapter: { kind: 'lora', config: { rank, targets: 'attention' } },
})

describe('programs that runs share', () => {
  it('are compiled once for adapters of the same shape, and train what their own would', async () => {
    const first = weightsOf(await run({ ...lora(2), seed: 1 }))
    const second = weightsOf(await run({ ...lora(2), seed: 2 }))
    const programs = createSharedPrograms()
    compiled = 0
    expect(weightsOf(await run({ ...lora(2), seed: 1, programs }))).toEqual(first)
    const once = compiled
    expect(weightsOf(await run({ ...lora(2), seed: 2, programs }))).toEqual(second)
    expect([once > 0, compiled]).toEqual([true, once])
    await programs.dispose()
  })
  it.each([
    ['rank', lora(3)],
    [
      'dropout',
      { adapter: { kind: 'lora', config: { rank: 2, targets: 'attention', dropout: 0.5 } } },
    ],
    ['kind', { adapter: { kind: 'ia3', config: {} } }],
    ['loss', { data: pairs, validation: { data: pairs }, loss: 'simpo' }],
    ['checkpointing', { checkpointing: true }],
  ])('are compiled anew for another %s', async (_, changed) => {
    const programs = createSharedPrograms()
    await run({ ...lora(2), programs })
    compiled = 0
    const alone = weightsOf(await run({ ...lora(2), ...changed }))
    const own = compiled
    expect(weightsOf(await run({ ...lora(2), ...changed, programs }))).toEqual(alone)
    expect([own > 0, compiled]).toEqual([true, 2 * own])
    await programs.dispose()
  })
})
