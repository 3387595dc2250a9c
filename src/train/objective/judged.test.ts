// Training on answers that were rated good or bad.

import { beforeAll, describe, expect, it } from 'vitest'
import { storiesModel } from '../../../test/support/train.ts'
import { DataError } from '../../base/errors.ts'
import { createRawDataset } from '../data/jsonl.ts'
import { hashSequences } from '../data/content-hash.ts'
import { encodeData } from '../data/encode.ts'
import { splitRows } from '../data/split-rows.ts'
import type { TrainEvent } from '../events.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { train } from '../run/train.ts'

const animals = ['cat', 'dog', 'bird', 'fish', 'frog', 'bear']
const rows = animals.flatMap((animal) => [
  { prompt: `The ${animal} was`, completion: ' very happy.', label: true },
  { prompt: `The ${animal} was`, completion: ' so sad and angry.', label: false },
])
const data = createRawDataset(rows, 'judged')

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 4, alpha: 8, targets: 'all-linear' } },
  data,
  loss: 'kto',
  steps: 16,
  batch: { rows: 4, tokens: 64 },
  learningRate: 3e-3,
  ...changed,
})

async function runAll(options: TrainOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(options)) events.push(event)
  return events
}

describe('judged answers', () => {
  it('are learned: good ones gain on the reference, bad ones lose', async () => {
    const events = await runAll(optionsOf())
    const steps = events.filter((event) => event.type === 'step-end')
    expect(steps[0]!.loss).toBeCloseTo(0.5, 4) // a fresh adapter is the reference: 1 − σ(0)
    const { good, bad } = steps.at(-1)!.measures!
    expect(good).toBeGreaterThan(0.1)
    expect(bad).toBeLessThan(-0.1)
    expect(steps.at(-1)!.loss).toBeLessThan(0.48)
  })
  it('are refused by losses that would learn the bad ones too', async () => {
    const refused = runAll(optionsOf({ loss: 'cross-entropy' }))
    await expect(refused).rejects.toThrow(DataError)
    await expect(refused).rejects.toThrow(
      'judged: holds answers judged good or bad ("label"), which the loss "cross-entropy" cannot learn from. Take the loss "kto".',
    )
    await expect(
      runAll(optionsOf({ data: createRawDataset([{ text: 'a' }], 'plain') })),
    ).rejects.toThrow('learns from { "prompt": "…", "completion": "…", "label": true }')
  })
  it('are followed by their prompt with the answer before', () => {
    const { tokenizer } = model.base
    const encoded = encodeData(data, { tokenizer: tokenizer!, maxTokens: 64 })
    expect(encoded).toMatchObject({ judged: true, examples: 12 })
    const texts = encoded.rows.map(({ ids }) => tokenizer!.decode([...ids]))
    expect(encoded.rows.map(({ isGood }) => isGood).slice(0, 4)).toEqual([
      true,
      undefined,
      false,
      undefined,
    ])
    expect(texts[3]).toContain('The cat was')
    expect(texts[3]).toContain('very happy.')
  })
  it('and their followers stay together where a share of the rows is held back', () => {
    const { tokenizer } = model.base
    const encoded = encodeData(data, { tokenizer: tokenizer!, maxTokens: 64 })
    const parts = splitRows(encoded, 0.25, 1)
    expect([parts.train.examples, parts.validation.examples]).toEqual([9, 3])
    for (const { rows: held } of [parts.train, parts.validation])
      for (const [i, { isGood }] of held.entries()) expect(isGood !== undefined).toBe(i % 2 === 0)
  })
  it('have another hash where a verdict is another', async () => {
    const hashOf = (list: object[]) =>
      hashSequences(
        encodeData(createRawDataset(list, 'x'), {
          tokenizer: model.base.tokenizer!,
          maxTokens: 64,
        }).rows,
      )
    const [first, ...others] = rows
    expect(await hashOf(rows)).not.toBe(await hashOf([{ ...first, label: false }, ...others]))
  })
})
