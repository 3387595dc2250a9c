// Training from files into a folder: data and base by path; the adapter, checkpoints, history and
// the loss curve are written into `out`.

import { join } from 'node:path'
import { jointMark } from '../adapters/kinds/joint/joint-rules.ts'
import type { TrainEvent } from '../train/events.ts'
import { toDescriptionMetadata } from '../train/options/description.ts'
import type { TrainOptions } from '../train/options/options.ts'
import { createEventRun } from '../train/run/event-run.ts'
import { train as run, type TrainRun } from '../train/run/train.ts'
import { checkpointFolder, prepareOutFolder, type RunFacts, type RunFolder } from './run-folder.ts'
import { type AttemptFence, createAttemptFence } from './files/attempt-fence.ts'
import { describeDataSets, type OpenedData } from './expert/data-sets.ts'
import { computeBaseDigest } from './models/base-digest.ts'
import { createProvenance } from './expert/provenance.ts'
import { type OpenedOptions, openTrainOptions, type TrainFilesOptions } from './train-files.ts'

/**
 * Trains as `train` of graftlm does, with paths and names where it takes models, adapters and data.
 * In `out`: adapter_config.json and adapter_model.safetensors (the best adapter, as PEFT saves it),
 * loss.svg, history.jsonl, expert.json, and checkpoints/ to resume from. Throws OptionError if
 * `out` is in use, and what training throws.
 */
export const train = (options: TrainFilesOptions): TrainRun =>
  createEventRun(() => trainFromFiles(options))

async function* trainFromFiles(given: TrainFilesOptions): AsyncGenerator<TrainEvent, void, void> {
  const opened = await openTrainOptions(given)
  const { options, close } = opened
  const { out } = given
  const fence = out === undefined ? undefined : createAttemptFence(join(out, checkpointFolder))
  let folder: RunFolder | undefined
  try {
    for await (const event of run(withFence(options, fence))) {
      // All data and options are checked by now: bad input leaves no files, and an unwritable
      // folder is detected before minutes of training.
      if (event.type === 'data-ready' && out !== undefined) {
        folder = await prepareOutFolder(out, await describeRun(opened, given), given)
        await fence?.take()
      }
      if (event.type === 'train-end') {
        await fence?.check()
        await folder?.writeResults(event)
      }
      yield event
    }
  } finally {
    await close()
  }
}

/** The options, with checkpoints that are only written while no later attempt has started. */
function withFence(options: TrainOptions, fence: AttemptFence | undefined): TrainOptions {
  const { checkpoint } = options
  if (!fence || !checkpoint) return options
  return { ...options, checkpoint: { ...checkpoint, sink: fence.guard(checkpoint.sink) } }
}

/** The run's part of the expert's manifest. */
async function describeRun(
  { source: base, place, options: { adapter, data: opened } }: OpenedOptions,
  { data, dataLicense, command, adapter: from, metadata = {}, seed = 0 }: TrainFilesOptions,
): Promise<RunFacts> {
  const { kind = 'lora' } = adapter ?? {}
  const earlier = adapter && 'tensors' in adapter ? adapter : undefined
  const sources = typeof from === 'string' ? [from] : []
  const said = Object.entries(toDescriptionMetadata(metadata)).flatMap(([key, text]) =>
    text === undefined ? [] : [[key, text] as const],
  )
  return {
    base,
    baseDigest: place === undefined ? undefined : await computeBaseDigest(place),
    kind: typeof kind === 'string' ? kind : kind.join(jointMark),
    metadata: Object.assign({}, earlier?.metadata, Object.fromEntries(said)),
    data: await describeDataSets(data, opened as OpenedData, dataLicense),
    provenance: await createProvenance({ command, seed, sources }),
  }
}
