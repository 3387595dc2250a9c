// The entries as a user types them: that these lines compile is half of the test.
import { beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import { type Adapter, OptionError, train as trainAnywhere, type TrainResult } from '../index.ts'
import {
  consolidateStandalone,
  createTextDataset,
  type EwcState,
  splitDataset,
  SyntheticDataGenerator,
  type TrainOptions,
  trainStandalone,
} from '../train/index.ts'
import { loadModel, type LoadedModel, train, type TrainFilesOptions } from './index.ts'

const data = [
  { prompt: 'Lily:', completion: ' Lily saw a cat.' },
  { prompt: 'Tom:', completion: ' Tom saw a cat.' },
]
const adapter = { kind: 'lora', config: { rank: 2, targets: ['q_proj'] } }
let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k')
})

describe('train', () => {
  it('takes the same options in graftlm and in graftlm/node', async () => {
    const options: TrainOptions = {
      model,
      data,
      adapter,
      steps: 2,
      validation: { data: 0.5, everySteps: 1 },
      batch: { rows: 1 },
    }
    const fromNode: TrainFilesOptions = options
    const [one, other] = [await trainAnywhere(options).done, await train(fromNode).done]
    expectTypeOf(one).toEqualTypeOf<TrainResult>()
    expectTypeOf(other).toEqualTypeOf<TrainResult>()
    expect([...other.adapter.tensors]).toEqual([...one.adapter.tensors])
    expect(one.history.validations).toHaveLength(2)
  })
  it('gives the adapter without a loop, and the state of one task to the next', async () => {
    const first = await train({ model, data, adapter, steps: 1, ewc: { sample: 1 } }).done
    expectTypeOf(first.adapter).toEqualTypeOf<Adapter>()
    expectTypeOf(first.ewc).toEqualTypeOf<EwcState | undefined>()
    const ewc = { state: first.ewc, sample: 1 }
    const second = await train({ model, data, adapter: first.adapter, steps: 1, ewc }).done
    expect([first.ewc?.tasks, second.ewc?.tasks]).toEqual([1, 2])
  })
  it('trains a LoRA on all linear layers where no adapter is named, and takes a data set of texts', async () => {
    const texts = createTextDataset('texts', [{ row: data[0]! }, { row: data[1]!, quality: 0.5 }])
    const { adapter: made } = await trainAnywhere({ model, data: texts, steps: 1 }).done
    expect([made.kind, made.tensors.size]).toEqual(['lora', 70])
  })
  it('refuses options that are unknown, from plain JavaScript too', async () => {
    const plain = { model, data, epoch: 3, lr: 1, sead: 1, checkpoint: { every: 2 } }
    for (const run of [train(plain as never), trainAnywhere(plain as never)])
      await expect(run.done).rejects.toThrow(
        /"epoch". Did you mean "epochs".*"lr". Did you mean "learningRate".*"sead". Did you mean "seed".*"checkpoint.every". Did you mean "checkpoint.everySteps"/,
      )
    await expect(train(undefined as never).done).rejects.toThrow(OptionError)
    await expect(train({ model, data: 3 } as never).done).rejects.toThrow('data: got the number 3')
  })
  it('refuses options that cannot go together', async () => {
    const state = { tasks: 1, weight: 1, modules: new Map() }
    for (const [options, problem] of [
      [{ resume: true }, 'resume: needs out'],
      [{ checkpoint: { everySteps: 2 } }, 'checkpoint: needs out'],
      [{ ewc: { state, from: 'folder' } }, 'ewc: give state or from'],
    ] as const)
      await expect(train({ model, data, ...options }).done).rejects.toThrow(problem)
  })
})

describe('trainStandalone', () => {
  it('gives the adapter without a loop, for kinds by name', async () => {
    const vectors = new SyntheticDataGenerator(8, 1).generate('coder', 40)
    const parts = splitDataset(vectors)
    const first = await trainStandalone({ adapter, data: parts.train, preset: 'quick' }).done
    expectTypeOf(first.adapter).toEqualTypeOf<Adapter>()
    const state = consolidateStandalone({ adapter: first.adapter, data: parts.train })
    const ewc = { state, lambda: undefined }
    const second = await trainStandalone({ adapter: first.adapter, data: vectors, ewc }).done
    expect(second.reason).toBe('finished')
  })
})
