// Training on the embedded model: real data rows, real gradients on ONNX Runtime, a lower loss;
// exact resume; packing changes nothing.

import { beforeAll, describe, expect, it } from 'vitest'
import { listParameterSpecs, type Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { encodeData, type EncodedData } from '../data/encode.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { TrainEvent } from '../events.ts'
import { memoryFolder, storiesModel } from '../../../test/support/train.ts'
import { createGradientProgram, type GradientProgram } from '../programs/gradient-program.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { buildBatches, planEpoch, countSharedPrefix } from '../batches/packing.ts'
import { train } from './train.ts'

let model: TrainableModel
let encoded: EncodedData
const rows = createRawDataset(
  ['cat', 'dog', 'bird', 'fish', 'frog', 'bear', 'duck', 'mouse'].flatMap((animal, i) =>
    ['red', 'big', 'sad', 'old'].map((kind) => ({
      prompt: `Tell me about the ${kind} ${animal}.`,
      completion: ` Once upon a time there was a ${kind} ${animal} with ${i + 2} friends.`,
    })),
  ),
  'animals',
)
beforeAll(async () => {
  model = await storiesModel()
  encoded = encodeData(rows, { tokenizer: model.base.tokenizer!, maxTokens: 96 })
})

const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 4, alpha: 8, targets: 'all-linear' } },
  data: rows,
  steps: 20,
  batch: { rows: 2, tokens: 96 },
  learningRate: 0.01,
  ...changed,
})

async function eventsOf(
  options: TrainOptions,
  onEvent?: (event: TrainEvent) => void,
): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(options)) {
    events.push(event)
    onEvent?.(event)
  }
  return events
}
const endOf = (events: TrainEvent[]) => events.find((event) => event.type === 'train-end')!
const checkpointIn = (folder: ByteSink & ByteFolder) => ({
  sink: folder,
  source: folder,
  everySteps: 4,
})

describe('training the embedded model', () => {
  it('lowers the loss, on what it saw and on what it did not', async () => {
    const held = createRawDataset(
      [
        {
          prompt: 'Tell me about the red lion.',
          completion: ' Once upon a time there was a red lion with 3 friends.',
        },
      ],
      'held',
    )
    const events = await eventsOf(optionsOf({ validation: { data: held, everySteps: 10 } }))
    const { steps, validations } = endOf(events).history
    expect(steps).toHaveLength(20)
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss * 0.5)
    expect(validations.at(-1)!.loss).toBeLessThan(steps[0]!.loss * 0.7)
    for (const { gradientNorm } of steps) expect(gradientNorm).toBeGreaterThan(0)
  })

  it('ends with the same bits after it was stopped and went on, dropout included', async () => {
    const options = { steps: 6, adapter: { kind: 'lora', config: { rank: 4, dropout: 0.1 } } }
    const whole = endOf(
      await eventsOf(optionsOf({ ...options, checkpoint: checkpointIn(memoryFolder()) })),
    )
    const folder = memoryFolder()
    const runUntil = (stop?: number): Promise<TrainEvent[]> => {
      const controller = new AbortController()
      return eventsOf(
        optionsOf({ ...options, checkpoint: checkpointIn(folder), signal: controller.signal }),
        (event) => {
          if (event.type === 'step-end' && event.step === stop) controller.abort()
        },
      )
    }
    for (const stop of [2, 5])
      expect(endOf(await runUntil(stop))).toMatchObject({ reason: 'stopped', last: { step: stop } })
    expect(endOf(await runUntil())).toEqual(whole)
  })
})

describe('batches of the same rows', () => {
  let adapter: Adapter
  let program: GradientProgram
  let parameters: Map<string, Tensor>
  beforeAll(async () => {
    const { graph } = model.base
    adapter = initializeAdapter(
      'lora',
      { rank: 4, targets: 'all-linear', start: 'random' },
      graph,
      {
        seed: 3,
      },
    )
    parameters = new Map(
      [...adapter.tensors].map(([key, { shape, data }]) => [key, f32(shape, data as Float32Array)]),
    )
    const trainable = [...listParameterSpecs(graph, adapter).keys()]
    program = await createGradientProgram({
      graph,
      weights: await model.weights(),
      backend: model.backend,
      adapter,
      trainable,
    })
    return () => program.dispose()
  })

  /** Loss and gradients of all rows together, in batches of one form. */
  async function measure(packing: boolean, shared: number) {
    const data = { rows: encoded.rows, shared }
    const plans = planEpoch(data.rows, { rows: 4, tokens: 96, packing, shared, seed: 1, epoch: 0 })
    const sums = new Map<string, Float64Array>()
    let loss = 0
    for (const batch of buildBatches(data, plans)) {
      const part = await program.gradients(batch, parameters)
      loss += part.loss
      for (const [key, { data: values }] of part.gradients) {
        const sum = sums.get(key) ?? new Float64Array(values.length)
        sums.set(
          key,
          sum.map((value, i) => value + Number(values[i])),
        )
      }
    }
    return { loss, sums, lines: plans.flat().length }
  }

  it('give the same loss and gradients padded, packed, and packed behind a shared beginning: nothing leaks', async () => {
    const shared = countSharedPrefix(encoded.rows)
    expect(shared).toBeGreaterThanOrEqual(4)
    const padded = await measure(false, 0)
    for (const packed of [await measure(true, 0), await measure(true, shared)]) {
      expect(packed.lines).toBeLessThanOrEqual(padded.lines / 2)
      expect(packed.loss).toBeCloseTo(padded.loss, 4)
      const worst = [...padded.sums].map(([key, sum]) => {
        const other = packed.sums.get(key)!
        return {
          key,
          distance: Math.hypot(...sum.map((value, i) => value - other[i]!)) / Math.hypot(...sum),
        }
      })
      expect(worst.filter(({ distance }) => !(distance < 1e-4))).toEqual([])
    }
  })
})
