// A text data set in `train`: qualities are weights, and the hash is recorded.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/adapter.ts'
import { type LoadedModel, loadModel } from '../../node/model.ts'
import { SyntheticDataGenerator } from '../datasets/synthetic/synthetic-data-generator.ts'
import { train } from '../run/train.ts'
import { type TextDataset, createTextDataset, toTrainingData } from '../datasets/adapter-dataset.ts'
import { hashDataset } from '../datasets/dataset-files.ts'

let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())

async function trained(dataset: TextDataset, steps: number): Promise<Adapter> {
  const data = toTrainingData(dataset, await hashDataset(dataset))
  const adapter = { kind: 'lora', config: { rank: 4, targets: 'all-linear' } }
  for await (const event of train({ model, data, adapter, steps, learningRate: 0.005 }))
    if (event.type === 'train-end') return event.adapter
  throw new Error('no end')
}

async function lossOf(adapter: Adapter, prompt: string, completion: string): Promise<number> {
  const ids = model.encode(prompt)
  const whole = model.encode(prompt + completion)
  return model.loss([whole], [whole.map((id, i) => (i < ids.length ? -100 : id))], { adapter })
}

describe('train on a text data set', () => {
  it('takes synthetic tasks, and names them in the adapter', async () => {
    const tasks = new SyntheticDataGenerator(8, 1).tasks('reviewer', 12)
    expect((await trained(tasks, 2)).metadata).toEqual({ data_sha256: await hashDataset(tasks) })
  })
  it('learns more from good rows than from bad ones that contradict them', async () => {
    const rows = (good: number, bad: number) =>
      createTextDataset('contradictory', [
        { row: { prompt: 'Lily saw', completion: ' a red cat.' }, quality: good },
        { row: { prompt: 'Lily saw', completion: ' the big dog.' }, quality: bad },
      ])
    const cat = await trained(rows(1, 0.05), 25)
    const dog = await trained(rows(0.05, 1), 25)
    expect(await lossOf(cat, 'Lily saw', ' a red cat.')).toBeLessThan(
      await lossOf(cat, 'Lily saw', ' the big dog.'),
    )
    expect(await lossOf(dog, 'Lily saw', ' the big dog.')).toBeLessThan(
      await lossOf(dog, 'Lily saw', ' a red cat.'),
    )
  })
})
