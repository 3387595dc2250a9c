// Training in a browser: model, adapter and data by URL, file or OPFS; the adapter, checkpoints,
// history and the loss curve are written into a folder of OPFS, from which an interrupted run
// resumes.

import { createEventRun } from '../train/run/event-run.ts'
import { saveEwcState } from '../train/ewc/state.ts'
import { writeHistory } from '../train/run/history-files.ts'
import type { TrainEvent } from '../train/events.ts'
import { train as run, type TrainResult, type TrainRun } from '../train/run/train.ts'
import { saveAdapter } from './adapters.ts'
import { type OutFolder, openOutFolder, prepareOutFolder } from './out-folder.ts'
import { createHandleSink } from './sources/opfs.ts'
import { openTrainOptions, type TrainWebOptions } from './train-options.ts'

/**
 * Trains as `train` of graftlm does, but models, adapters and data may also be URLs, files and
 * `opfs:…`. In `out`: the best adapter as PEFT saves it, loss.svg, history.jsonl, and checkpoints/
 * to resume from with the same bits. Throws OptionError if `out` is in use, also by another tab,
 * and what training throws.
 */
export const train = (options: TrainWebOptions): TrainRun =>
  createEventRun(() => trainInto(options))

async function* trainInto(given: TrainWebOptions): AsyncGenerator<TrainEvent, void, void> {
  const out = given.out === undefined ? undefined : await openOutFolder(given.out, given)
  try {
    const { options, close } = await openTrainOptions(given, out)
    try {
      for await (const event of run(options)) {
        // All data and options are checked by now, so bad input leaves no files.
        if (event.type === 'data-ready' && out) await prepareOutFolder(out)
        if (event.type === 'train-end' && out) await writeResults(event, out)
        yield event
      }
    } finally {
      await close()
    }
  } finally {
    out?.release()
  }
}

async function writeResults(
  { history, reason, best, ewc }: TrainResult,
  { handle, name }: OutFolder,
): Promise<void> {
  const sink = createHandleSink(handle, name)
  await writeHistory(history, sink)
  if (ewc) await saveEwcState(ewc, sink)
  if (reason !== 'stopped') await saveAdapter(best.adapter, handle)
}
