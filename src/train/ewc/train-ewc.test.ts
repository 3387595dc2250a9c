// A second task with and without protection: the first task is retained, and the run returns the
// state that protects both.

import { beforeAll, describe, expect, it } from 'vitest'
import { storiesModel } from '../../../test/support/train.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { TrainEvent } from '../events.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { buildBatches } from '../batches/packing.ts'
import { prepareRun } from '../run/prepare.ts'
import { train } from '../run/train.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

const names = ['Lily', 'Tom', 'Sue', 'Ben', 'Mia', 'Max']
const first = createRawDataset(
  names.map((name) => ({ prompt: `${name} has`, completion: ` a red ball and a blue car.` })),
  'first',
)
const second = createRawDataset(
  names.map((name) => ({
    prompt: `${name} went`,
    completion: ` up to the sky with nine old dogs.`,
  })),
  'second',
)

const optionsOf = (
  data: TrainOptions['data'],
  changed: Partial<TrainOptions> = {},
): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 4, targets: 'all-linear' } },
  data,
  steps: 25,
  batch: { rows: 2, tokens: 64 },
  learningRate: 5e-3,
  ...changed,
})

async function endOf(options: TrainOptions): Promise<Extract<TrainEvent, { type: 'train-end' }>> {
  for await (const event of train(options)) if (event.type === 'train-end') return event
  throw new Error('The run did not end.')
}

async function lossOn(data: TrainOptions['data'], adapter: Adapter): Promise<number> {
  const run = await prepareRun(optionsOf(data, { adapter, steps: 1 }))
  const { weights } = run
  const program = await createGradientProgram({
    graph: model.base.graph,
    weights,
    backend: model.backend,
    adapter,
    trainable: [],
  })
  let loss = 0
  for (const batch of buildBatches(run.rows.data, run.rows.plan.batchesOf(1)))
    loss += await program.loss(batch, run.state.parameters)
  await program.dispose()
  return loss
}

describe('a run with EWC', () => {
  it('forgets less of the earlier task, and still less with a stronger penalty', async () => {
    const start = await endOf(optionsOf(first, { ewc: {} }))
    expect(start.ewc?.tasks).toBe(1)
    const { adapter } = start
    const losses: number[] = []
    for (const lambda of [0, 0.03, 1]) {
      const end = await endOf(optionsOf(second, { adapter, ewc: { lambda, state: start.ewc! } }))
      expect(end.ewc?.tasks).toBe(2)
      losses.push(await lossOn(first, end.adapter))
    }
    const before = await lossOn(first, adapter)
    const [plain, some, much] = losses.map((loss) => loss - before)
    expect(plain).toBeGreaterThan(0.2)
    expect(some).toBeLessThan(0.6 * plain!)
    expect(much).toBeLessThan(some!)
  })

  it('is refused before anything is trained where options or adapter do not fit', async () => {
    await expect(prepareRun(optionsOf(first, { ewc: { lambda: -1, decay: 2 } }))).rejects.toThrow(
      /ewc\.lambda.*ewc\.decay/s,
    )
    await expect(prepareRun(optionsOf(first, { ewc: { sample: 0 } }))).rejects.toThrow(OptionError)
    await expect(
      prepareRun(optionsOf(first, { adapter: { kind: 'ia3', config: {} }, ewc: {} })),
    ).rejects.toThrow(UnsupportedError)
  })
})
