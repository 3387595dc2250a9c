// Preferences and teachers on the embedded model: held-out rows improve; runs resume exactly; data
// that does not fit is refused.

import { beforeAll, describe, expect, it } from 'vitest'
import { memoryFolder, storiesModel } from '../../../test/support/train.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { DataError, MismatchError, OptionError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { TrainEvent } from '../events.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { train } from '../run/train.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

const only = <Type extends TrainEvent['type']>(events: readonly TrainEvent[], type: Type) =>
  events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type)
const endOf = (events: readonly TrainEvent[]) => only(events, 'train-end')[0]!

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
const checkpointIn = (folder: ByteSink & ByteFolder) => ({
  sink: folder,
  source: folder,
  everySteps: 2,
})

const kinds = ['red', 'big', 'sad', 'old']
/** The answer that ends well is preferred. */
const pairsOf = (animals: readonly string[]) =>
  animals.flatMap((animal, i) =>
    kinds.map((kind, k) => {
      const good = ` The ${kind} ${animal} was happy and played.`
      const bad = ` The ${kind} ${animal} was scared and cried.`
      return {
        prompt: `Tell me about the ${kind} ${animal}${(i + k) % 2 ? '.' : ', please.'}`,
        chosen: good,
        rejected: bad,
      }
    }),
  )
const pairs = createRawDataset(pairsOf(['cat', 'dog', 'bird', 'fish', 'frog', 'bear']), 'pairs')
const heldPairs = createRawDataset(pairsOf(['duck', 'mouse', 'lion']), 'held')
const stories = createRawDataset(
  ['cat', 'dog', 'bird', 'fish', 'frog', 'bear'].flatMap((animal, i) =>
    kinds.map((kind) => ({
      prompt: `Tell me about the ${kind} ${animal}.`,
      completion: ` There was a ${kind} ${animal} with ${i + 2} friends.`,
    })),
  ),
  'stories',
)

const dpoOf = (changed: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 4, alpha: 8, targets: 'all-linear' } },
  data: pairs,
  loss: 'dpo',
  steps: 16,
  batch: { rows: 3, tokens: 128 },
  learningRate: 5e-3,
  ...changed,
})

/** A teacher that differs from the base. */
const teacherOf = (seed: number, config: object = {}): Adapter =>
  initializeAdapter(
    'lora',
    { rank: 8, alpha: 4, targets: 'all-linear', start: 'random', ...config },
    model.base.graph,
    { seed },
  )
const distillOf = (changed: Partial<TrainOptions> = {}): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 8, alpha: 16, targets: 'all-linear' } },
  data: stories,
  loss: 'distillation',
  teacher: { adapter: teacherOf(3) },
  steps: 20,
  batch: { rows: 3, tokens: 96 },
  learningRate: 1e-2,
  ...changed,
})

describe('preferences', () => {
  it('are learned: the margin grows, and on held-out pairs the chosen answer wins', async () => {
    const events = await eventsOf(dpoOf({ validation: { data: heldPairs, everySteps: 8 } }))
    const asked = only(events, 'rows-asked')
    expect(asked.at(-1)).toMatchObject({ of: 'reference', done: 72, count: 72 })
    expect(events.findLastIndex(({ type }) => type === 'rows-asked')).toBeLessThan(
      events.findIndex(({ type }) => type === 'step-end'),
    )
    const [first, ...steps] = only(events, 'step-end')
    expect(first!.loss).toBeCloseTo(Math.LN2, 4) // a fresh adapter is the reference
    expect(first!.measures!['margin']).toBeCloseTo(0, 3)
    expect(steps.at(-1)!.measures!['margin']).toBeGreaterThan(1)
    const last = only(events, 'validation-end').at(-1)!
    expect(last.measures!['accuracy']).toBeGreaterThan(0.9)
    expect(last.measures!['margin']).toBeGreaterThan(0.5)
    expect(last.loss).toBeLessThan(Math.LN2 * 0.7)
  })
  it.each(['ipo', 'simpo'])('are learned by %s too', async (loss) => {
    const steps = only(await eventsOf(dpoOf({ loss, steps: 8 })), 'step-end')
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss)
    expect(steps.at(-1)!.measures!['margin']).toBeGreaterThan(steps[0]!.measures!['margin']!)
  })
  it('are measured from a reference adapter where one is given', async () => {
    const adapter = teacherOf(5)
    const [step] = only(
      await eventsOf(dpoOf({ adapter, reference: adapter, steps: 1 })),
      'step-end',
    )
    expect(step!.loss).toBeCloseTo(Math.LN2, 4)
    const [other] = only(await eventsOf(dpoOf({ adapter, steps: 1 })), 'step-end')
    expect(Math.abs(other!.measures!['margin']!)).toBeGreaterThan(0.01)
  })
  it('of a soft prompt are measured from the base without it', async () => {
    const soft = { kind: 'prompt-tuning', config: { virtualTokens: 5 } }
    const steps = only(await eventsOf(dpoOf({ adapter: soft, steps: 2 })), 'step-end')
    expect(Math.abs(steps[0]!.measures!['margin']!)).toBeGreaterThan(1e-4)
    for (const { loss } of steps) expect(loss).toBeGreaterThan(0)
  })
  it('resume to the same bits', async () => {
    const options = { steps: 5, validation: { data: heldPairs } }
    const whole = endOf(
      await eventsOf(dpoOf({ ...options, checkpoint: checkpointIn(memoryFolder()) })),
    )
    const folder = memoryFolder()
    const controller = new AbortController()
    await eventsOf(
      dpoOf({ ...options, checkpoint: checkpointIn(folder), signal: controller.signal }),
      (event) => {
        if (event.type === 'step-end' && event.step === 3) controller.abort()
      },
    )
    expect(endOf(await eventsOf(dpoOf({ ...options, checkpoint: checkpointIn(folder) })))).toEqual(
      whole,
    )
  })
  it('need pairs, and pairs need them', async () => {
    await expect(eventsOf(dpoOf({ data: stories }))).rejects.toThrow(DataError)
    await expect(eventsOf(dpoOf({ data: stories }))).rejects.toThrow(
      'the loss "dpo" learns from { "prompt": "…", "chosen"',
    )
    await expect(eventsOf(dpoOf({ loss: 'cross-entropy' }))).rejects.toThrow('Take the loss "dpo"')
    await expect(eventsOf(dpoOf({ teacher: { adapter: teacherOf(1) } }))).rejects.toThrow(
      'a teacher is for the loss "distillation"',
    )
    await expect(eventsOf(dpoOf({ lossOptions: { beta: -1 } }))).rejects.toThrow(
      /^Training options: DPO: beta: got/,
    )
    await expect(
      eventsOf(dpoOf({ lossOptions: { referenceFree: true }, reference: teacherOf(1) })),
    ).rejects.toThrow('a reference is for')
  })
})

describe('a teacher', () => {
  const divergences = (events: readonly TrainEvent[]): number[] =>
    only(events, 'step-end').map(({ measures }) => measures!['divergence']!)

  it('is imitated, on rows that were never seen too', async () => {
    const held = createRawDataset(
      [
        {
          prompt: 'Tell me about the red lion.',
          completion: ' There was a red lion with 3 friends.',
        },
      ],
      'held',
    )
    const events = await eventsOf(distillOf({ validation: { data: held, everySteps: 10 } }))
    const found = divergences(events)
    expect(found.at(-1)!).toBeLessThan(0.5 * found[0]!)
    const [early, late] = only(events, 'validation-end')
    expect(late!.loss).toBeLessThan(early!.loss)
  })
  it('of the same adapter leaves nothing to learn', async () => {
    const adapter = teacherOf(4)
    const [first] = divergences(
      await eventsOf(distillOf({ adapter, teacher: { adapter }, steps: 1 })),
    )
    expect(Math.abs(first!)).toBeLessThan(1e-5)
  })
  it('may be a mixture: it is trained as it is served', async () => {
    const one = teacherOf(1)
    const two = teacherOf(2, { rank: 3 })
    const both = { kind: 'lora', config: { ...one.config, rank: 11 } }
    // The same sum as one adapter: its factors side by side, scales folded in.
    const tensors = new Map(
      [...one.tensors].map(([key, a]) => {
        const b = two.tensors.get(key)!
        const scale = (adapter: Adapter, weight: number): number =>
          weight * (4 / (adapter === one ? 8 : 3))
        const x = a.data as Float32Array
        const y = b.data as Float32Array
        if (key.includes('lora_A'))
          return [key, f32([11, a.shape[1]!], Float32Array.of(...x, ...y))]
        const rows = Array.from({ length: a.shape[0]! }, (_, row) => [
          ...Array.from(x.subarray(row * 8, row * 8 + 8), (value) => value * scale(one, 0.7)),
          ...Array.from(y.subarray(row * 3, row * 3 + 3), (value) => value * scale(two, -0.4)),
        ])
        return [key, f32([a.shape[0]!, 11], rows.flat())]
      }),
    )
    const adapter = { ...both, config: { ...both.config, alpha: 11 }, tensors } as Adapter
    const teacher = {
      mixture: [
        { adapter: one, weight: 0.7 },
        { adapter: two, weight: -0.4 },
      ],
    }
    const [first] = divergences(await eventsOf(distillOf({ adapter, teacher, steps: 1 })))
    expect(Math.abs(first!)).toBeLessThan(1e-4)
  })
  it('may be another model', async () => {
    const weights = await model.weights()
    const name = [...weights.keys()].find((key) => key.includes('down_proj'))!
    const changed = new Map([
      ...weights,
      [
        name,
        f32(
          weights.get(name)!.shape,
          weights.get(name)!.data.map((value) => 2 * value),
        ),
      ],
    ])
    const other: TrainableModel = { ...model, weights: async () => changed }
    const [same] = divergences(
      await eventsOf(distillOf({ teacher: { model: { ...model } }, steps: 1 })),
    )
    expect(Math.abs(same!)).toBeLessThan(1e-5)
    const [first] = divergences(await eventsOf(distillOf({ teacher: { model: other }, steps: 1 })))
    expect(first!).toBeGreaterThan(1e-3)
  })
  it('may teach kinds whose rows begin otherwise', async () => {
    const soft = { kind: 'prompt-tuning', config: { virtualTokens: 5 } }
    const found = divergences(
      await eventsOf(distillOf({ adapter: soft, steps: 12, learningRate: 0.1 })),
    )
    expect(found.at(-1)!).toBeLessThan(found[0]!)
    const adapter = initializeAdapter('prompt-tuning', { virtualTokens: 5 }, model.base.graph, {
      seed: 1,
    })
    const [first] = divergences(
      await eventsOf(distillOf({ adapter, teacher: { adapter }, steps: 1 })),
    )
    expect(Math.abs(first!)).toBeLessThan(1e-5)
  })
  it('asked ahead teaches the same as one asked with each batch', async () => {
    const run = async (ahead: boolean) =>
      eventsOf(distillOf({ lossOptions: { top: 16, ahead, share: 0.8, temperature: 2 }, steps: 6 }))
    const live = await run(false)
    const kept = await run(true)
    expect(only(live, 'rows-asked')).toEqual([])
    expect(only(kept, 'rows-asked').at(-1)).toMatchObject({ of: 'teacher', done: 24, count: 24 })
    only(kept, 'step-end').forEach(({ loss }, i) =>
      expect(loss).toBeCloseTo(only(live, 'step-end')[i]!.loss, 3),
    )
    expect(only(kept, 'step-end')[0]!.measures).toHaveProperty('crossEntropy')
  })
  it('belongs to the run: a checkpoint of another one is refused', async () => {
    const folder = memoryFolder()
    const whole = endOf(await eventsOf(distillOf({ steps: 2, checkpoint: checkpointIn(folder) })))
    expect(
      endOf(await eventsOf(distillOf({ steps: 2, checkpoint: checkpointIn(folder) }))),
    ).toEqual(whole)
    const other = distillOf({
      steps: 2,
      teacher: { adapter: teacherOf(8) },
      checkpoint: checkpointIn(folder),
    })
    await expect(eventsOf(other)).rejects.toThrow(/teacher/)
  })
  it('that does not fit is refused before anything is computed', async () => {
    const { teacher: _none, ...without } = distillOf()
    await expect(eventsOf(without)).rejects.toThrow(
      'needs a teacher: { adapter }, { mixture } or { model }',
    )
    await expect(eventsOf(distillOf({ teacher: {} }))).rejects.toThrow(OptionError)
    const strange = {
      ...teacherOf(1),
      tensors: new Map([['base_model.model.x.lora_A.weight', f32([2, 2])]]),
    }
    await expect(eventsOf(distillOf({ teacher: { adapter: strange } }))).rejects.toThrow(
      MismatchError,
    )
    const { base } = model
    const config = { ...base.graph.config, vocabularySize: 600 }
    const larger = { ...model, base: { ...base, name: 'larger', graph: { ...base.graph, config } } }
    await expect(eventsOf(distillOf({ teacher: { model: larger } }))).rejects.toThrow(
      'The teacher "larger" has a vocabulary of 600 tokens, the model "stories260k" one of 512',
    )
    const tokenizer = {
      ...base.tokenizer!,
      decode: (ids: readonly number[]) => (ids[0] === 100 ? '?' : base.tokenizer!.decode(ids)),
    }
    const other = { ...model, base: { ...base, name: 'other', tokenizer } }
    await expect(eventsOf(distillOf({ teacher: { model: other } }))).rejects.toThrow(
      'token 100 is "?"',
    )
  })
})
