// What the tests of a run's course share: options over a small data set, a whole run on a program
// without a model, its events by type.

import { createRawDataset } from '../../src/train/data/jsonl.ts'
import type { ByteFolder, ByteSink } from '../../src/formats/byte-source.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import type { GradientProgram } from '../../src/train/programs/gradient-program.ts'
import type { TrainOptions } from '../../src/train/options/options.ts'
import type { TrainableModel } from '../../src/train/programs/trainable-model.ts'
import { prepareRun } from '../../src/train/run/prepare.ts'
import { runSteps } from '../../src/train/run/train.ts'
import { quadraticProgram } from './train.ts'

const data = createRawDataset(
  Array.from({ length: 30 }, (_, i) => ({
    prompt: `Count ${i}:`,
    completion: ` ${'one more '.repeat(1 + (i % 4))}`,
  })),
  'counting',
)
export const heldRows = createRawDataset([{ prompt: 'Count:', completion: ' one' }], 'held')

/** Nine or so steps in three epochs of thirty rows, a validation at every third step. */
export const countingOptions = (
  model: TrainableModel,
  changed: Partial<TrainOptions> = {},
): TrainOptions => ({
  model,
  adapter: { kind: 'lora', config: { rank: 2, dropout: 0.1 } },
  data,
  validation: { data: heldRows, everySteps: 3 },
  epochs: 3,
  batch: { rows: 2, tokens: 64 },
  accumulation: 2,
  learningRate: 0.05,
  seed: 7,
  now: () => 0,
  ...changed,
})

export async function runWith(
  options: TrainOptions,
  program: GradientProgram = quadraticProgram(),
  onEvent?: (event: TrainEvent) => void,
): Promise<TrainEvent[]> {
  const prepared = await prepareRun(options)
  const events: TrainEvent[] = [prepared.ready]
  for await (const event of runSteps(prepared, program, options)) {
    events.push(event)
    onEvent?.(event)
  }
  return events
}

export const only = <Type extends TrainEvent['type']>(events: readonly TrainEvent[], type: Type) =>
  events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type)

export const endOf = (events: readonly TrainEvent[]) => only(events, 'train-end')[0]!

export const weightsOf = (events: readonly TrainEvent[]) =>
  [...endOf(events).last.adapter.tensors].map(([key, { data: values }]) => [
    key,
    [...(values as Float32Array)],
  ])

/** Both ends of one memory folder as a run takes them. */
export const checkpointIn = (folder: ByteSink & ByteFolder, everySteps = 2) => ({
  sink: folder,
  source: folder,
  everySteps,
})
