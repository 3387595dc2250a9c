// Training from files into a folder: data and base by path; the adapter, checkpoints, history and
// the loss curve are written into `out`.

import type { TrainEvent } from '../train/events.ts'
import { createEventRun } from '../train/run/event-run.ts'
import { train as run, type TrainRun } from '../train/run/train.ts'
import { prepareOutFolder, type RunFolder } from './run-folder.ts'
import { openTrainOptions, type TrainFilesOptions } from './train-files.ts'

/**
 * Trains as `train` of graftlm does, with paths and names where it takes models, adapters and data.
 * In `out`: adapter_config.json and adapter_model.safetensors (the best adapter, as PEFT saves it),
 * loss.svg, history.jsonl, graft.json, and checkpoints/ to resume from. Throws OptionError where
 * `out` is in use, and what training throws.
 */
export const train = (options: TrainFilesOptions): TrainRun =>
  createEventRun(() => trainFromFiles(options))

async function* trainFromFiles(given: TrainFilesOptions): AsyncGenerator<TrainEvent, void, void> {
  const { options, source, close } = await openTrainOptions(given)
  const { out } = given
  let folder: RunFolder | undefined
  try {
    for await (const event of run(options)) {
      // Everything that can be wrong with data and options is known now: bad input has left no
      // trace, and a folder that cannot be written to is found before minutes of training.
      if (event.type === 'data-ready' && out !== undefined)
        folder = await prepareOutFolder(out, source, given)
      if (event.type === 'train-end') await folder?.writeResults(event)
      yield event
    }
  } finally {
    await close()
  }
}
