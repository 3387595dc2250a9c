// The promise of replicas: 1, 2 and 4 of them, and one process, end with the same bits. On the
// embedded model with real gradients, and on a program without a model where many runs are needed.

import { beforeAll, describe, expect, it } from 'vitest'
import {
  hashAdapter,
  nowhere,
  runReplicas,
  type RunReplica,
} from '../../../test/support/replicas.ts'
import { memoryFolder, quadraticProgram, storiesModel } from '../../../test/support/train.ts'
import {
  checkpointIn,
  countingOptions,
  endOf,
  only,
  runWith,
} from '../../../test/support/train-runs.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { TrainEvent } from '../events.ts'
import { createLocalExchanges } from '../exchange.ts'
import type { TrainOptions } from '../options/options.ts'
import { createSharedPrograms } from '../programs/shared-programs.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { train } from '../run/train.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

const animals = ['cat', 'dog', 'bird', 'fish', 'frog']
const rows = createRawDataset(
  animals.flatMap((animal, i) =>
    ['red', 'big'].map((kind) => ({
      prompt: `Tell me about the ${kind} ${animal}.`,
      completion: ` Once there was a ${kind} ${animal} with ${i + 2} friends.`,
    })),
  ),
  'animals',
)
const pairs = createRawDataset(
  animals.map((animal) => ({
    prompt: `Tell me about the ${animal}.`,
    chosen: ` The ${animal} was happy.`,
    rejected: ` No.`,
  })),
  'pairs',
)
const heldPairs = createRawDataset(
  [{ prompt: 'Tell me about the bear.', chosen: ' The bear was happy.', rejected: ' No.' }],
  'held pairs',
)
const heldRows = createRawDataset(
  ['bear', 'duck', 'mouse'].map((animal) => ({
    prompt: `Tell me about the ${animal}.`,
    completion: ` The ${animal} was happy.`,
  })),
  'held',
)

/** Two steps an epoch; the second has two batches of four. */
const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 2, dropout: 0.1, targets: ['q_proj'] } },
  data: rows,
  validation: { data: heldRows, everySteps: 2 },
  epochs: 2,
  packing: false,
  batch: { rows: 2, tokens: 64 },
  accumulation: 4,
  shards: 4,
  learningRate: 0.01,
  now: () => 0,
  ...changed,
})

const runReal: RunReplica = async (options) => {
  const events: TrainEvent[] = []
  for await (const event of train(options)) events.push(event)
  return events
}
const runMadeUp: RunReplica = (options) => runWith(options, quadraticProgram())

/** What of a run must not depend on how many replicas there were. */
function summarize(events: readonly TrainEvent[]) {
  const { last, best, history, reason, ewc } = endOf(events)
  return {
    reason,
    last: hashAdapter(last.adapter),
    best: hashAdapter(best.adapter),
    history,
    measures: events.flatMap((event) => ('measures' in event ? [event.measures] : [])),
    ewc: ewc?.modules,
  }
}

describe('1, 2 and 4 replicas and one process end with the same bits', () => {
  const dpo = {
    data: pairs,
    validation: { data: heldPairs, everySteps: 1 },
    batch: { rows: 1, tokens: 64 },
  }
  const cases: [string, () => Partial<TrainOptions>][] = [
    ['cross-entropy, with an empty shard in each last step', () => ({})],
    ['DoRA', () => ({ adapter: { kind: 'dora', config: { rank: 2, targets: ['q_proj'] } } })],
    ['DPO, whose reference is asked ahead', () => ({ ...dpo, loss: 'dpo' })],
    [
      'a teacher',
      () => ({ loss: 'distillation', lossOptions: { temperature: 2 }, teacher: { model } }),
    ],
  ]
  it.each(cases)('%s', async (_what, change) => {
    // compiled once: the first run ends before the replicas ask for its program
    const options = optionsOf(Object.assign({ programs: createSharedPrograms() }, change()))
    const expected = summarize(await runReal(options, 0))
    expect(expected.reason).toBe('finished')
    for (const size of [1, 2, 4])
      for (const events of await runReplicas(size, options, runReal))
        expect(summarize(events)).toEqual(expected)
  })
  it('EWC: its pull, and what it measures at the end', async () => {
    const adapter = { kind: 'lora', config: { rank: 2, targets: ['q_proj'] } }
    const first = endOf(await runReal(optionsOf({ adapter, ewc: { sample: 2 }, epochs: 1 }), 0))
    const programs = createSharedPrograms()
    const options = optionsOf({
      programs,
      adapter: first.adapter,
      ewc: { state: first.ewc!, lambda: 10, sample: 2 },
      data: heldRows,
      validation: undefined,
      batch: { rows: 1, tokens: 64 },
      accumulation: 2,
      shards: 2,
    })
    const expected = summarize(await runReal(options, 0))
    const free = summarize(await runReal({ ...options, ewc: { ...options.ewc, lambda: 0 } }, 0))
    expect(free.last).not.toBe(expected.last)
    for (const events of await runReplicas(2, options, runReal))
      expect(summarize(events)).toEqual(expected)
  })
  it('one shard is training as it was without shards', async () => {
    const { shards: _shards, ...options } = optionsOf({ programs: createSharedPrograms() })
    const expected = summarize(await runReal(options, 0))
    expect(summarize(await runReal({ ...options, shards: 1 }, 0))).toEqual(expected)
    const sharded = summarize(await runReal({ ...options, shards: 4 }, 0))
    expect(sharded.history.steps[0]!.loss).toBeCloseTo(expected.history.steps[0]!.loss, 5)
  })
})

describe('replicas that are gone', () => {
  const checkpointed = (folder: ReturnType<typeof memoryFolder>): TrainOptions =>
    countingOptions(model, { accumulation: 4, shards: 4, checkpoint: checkpointIn(folder, 1) })

  it('before any meeting leave a checkpoint from which any other count ends with the same bits', async () => {
    const whole = await runMadeUp(checkpointed(memoryFolder()), 0)
    const expected = summarize(whole)
    const sizes = [1, 2, 4]
    let broken = 0
    for (let breaksAt = 1; ; breaksAt++) {
      const folder = memoryFolder()
      const options = checkpointed(folder)
      const size = sizes[breaksAt % 3]!
      const outcome = await runReplicas(4, options, runMadeUp, { breaksAt }).catch(() => undefined)
      if (outcome) break
      broken++
      for (const events of await runReplicas(size, options, runMadeUp))
        expect(summarize(events), `killed before meeting ${breaksAt}`).toEqual(expected)
    }
    const { steps } = only(whole, 'data-ready')[0]!
    expect(broken).toBeGreaterThan(steps)
  })
  it('all stop after the same step when one is asked to, and continue as if nothing was', async () => {
    const folder = memoryFolder()
    const options = checkpointed(folder)
    const expected = summarize(await runMadeUp(checkpointed(memoryFolder()), 0))
    const controller = new AbortController()
    const stopped = await runReplicas(2, options, (own, rank) =>
      runWith(
        rank === 1 ? { ...own, signal: controller.signal } : own,
        quadraticProgram(),
        (event) => {
          if (event.type === 'step-end' && event.step === 2) controller.abort()
        },
      ),
    )
    expect(stopped.map((events) => endOf(events).reason)).toEqual(['stopped', 'stopped'])
    expect(stopped.map((events) => endOf(events).last.step)).toEqual([3, 3])
    for (const events of await runReplicas(4, options, runMadeUp))
      expect(summarize(events)).toEqual(expected)
  })
})

describe('replicas that differ', () => {
  /** Errors of both replicas of a run whose second has other options. */
  async function failTogether(changed: Partial<TrainOptions>, about = {}): Promise<string[]> {
    const settled = await Promise.allSettled(
      createLocalExchanges(2).map((exchange, rank) =>
        runMadeUp(
          countingOptions(model, {
            shards: 2,
            exchange: { ...exchange, about: rank === 1 ? about : {} },
            ...(rank === 1 && changed),
          }),
          rank,
        ),
      ),
    )
    return settled.map((one) => (one.status === 'rejected' ? String(one.reason) : 'no error'))
  }
  it.each([
    ['options', { seed: 8 }, {}, 'seed: got 8, expected 7 as replica 0 has'],
    ['data', { data: heldRows }, {}, 'data: got '],
    ['versions', {}, { graft: '0.2.0' }, 'graft: got 0.2.0, expected nothing as replica 0 has'],
  ])('in their %s end together before the first step', async (_what, changed, about, message) => {
    const errors = await failTogether(changed, about)
    for (const error of errors) expect(error).toContain(message)
    for (const error of errors) expect(error).toContain('Replica 1 would run something else')
  })
  it('in the step that they go on from end so too', async () => {
    const folder = memoryFolder()
    const options = countingOptions(model, { shards: 2, checkpoint: checkpointIn(folder) })
    await runMadeUp(options, 0)
    const exchanges = createLocalExchanges(2)
    const settled = await Promise.allSettled([
      runMadeUp({ ...options, exchange: exchanges[0] }, 0),
      runMadeUp({ ...options, exchange: exchanges[1], checkpoint: { sink: nowhere } }, 1),
    ])
    for (const one of settled)
      expect(String(one.status === 'rejected' && one.reason)).toMatch(
        /step: got 0, expected \d+ as/,
      )
  })
})

describe('shards', () => {
  it.each([
    [{ shards: 3, accumulation: 4 }, 'shards: got 3, expected a power of two'],
    [{ shards: 4, accumulation: 2 }, 'shards (4) must not exceed accumulation (2)'],
    [
      { shards: 1, exchange: createLocalExchanges(2)[0] },
      '2 replicas cannot share one shard: give shards 2 or more',
    ],
    [
      { shards: 2, exchange: { ...createLocalExchanges(1)[0]!, size: 3 } },
      'replicas: got 3, expected a power of two',
    ],
  ])('are refused where they make no sense: %j', async (changed, message) => {
    await expect(runMadeUp(countingOptions(model, changed), 0)).rejects.toThrow(message)
  })
  it('are part of what a checkpoint is of', async () => {
    const folder = memoryFolder()
    await runMadeUp(countingOptions(model, { shards: 2, checkpoint: checkpointIn(folder) }), 0)
    const other = countingOptions(model, { checkpoint: checkpointIn(folder) })
    await expect(runMadeUp(other, 0)).rejects.toThrow('shards: got nothing, expected 2 as in')
  })
})
