// The folder of a training run: what an earlier run left there, the checkpoints, and the results.

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Adapter, dateKey } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import type { ByteSink } from '../formats/byte-source.ts'
import { ewcFile, saveEwcState } from '../train/ewc/state.ts'
import type { History } from '../train/history.ts'
import type { CheckpointOptions } from '../train/options/options.ts'
import { readDescription } from '../train/options/description.ts'
import { readScores, type AdapterScores, toScoresMetadata } from '../train/run/scores.ts'
import { drawLossCurve } from '../train/run/loss-curve.ts'
import type { TrainResult } from '../train/run/train.ts'
import { removeAdapter, saveAdapter } from './adapters.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'
import { readExpertMetadata, writeExpertMetadata } from './graft-json.ts'

/** What of a run's options concerns its folder. */
export interface RunFolderOptions {
  readonly resume?: boolean | undefined
  readonly overwrite?: boolean | undefined
  readonly system?: string | undefined
}

const checkpointFolder = 'checkpoints'
/** About twice a minute on small models; a checkpoint holds three times the adapter. */
const defaultCheckpointSteps = 25

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined

/**
 * Throws OptionError where the folder holds an adapter or checkpoints that nobody asked to replace
 * or to resume from, and where there is nothing to resume from.
 */
export async function checkOutFolder(
  out: string,
  { resume, overwrite }: RunFolderOptions,
): Promise<void> {
  const [begun, hasAdapter, hasCheckpoints] = await Promise.all(
    ['graft.json', 'adapter_config.json', checkpointFolder].map((name) => exists(join(out, name))),
  )
  // A run that was killed before its first checkpoint starts anew, because it had not got further.
  if (resume && !begun)
    throw new OptionError(
      `${out}: no run was begun here to go on from. Leave out resume, or name the folder of the earlier run.`,
    )
  if (resume || overwrite || !(hasAdapter || hasCheckpoints)) return
  const found = hasAdapter ? 'an adapter' : 'the checkpoints of a run that did not end'
  throw new OptionError(
    `${out}: holds ${found} already. Choose another folder, go on from its checkpoint (resume), or replace it (overwrite).`,
  )
}

/** A run's folder that is ready to be written to. */
export interface RunFolder {
  /** Writes what a run leaves: history, loss curve, and the adapter where the run has ended. */
  writeResults(end: TrainResult): Promise<void>
}

/** Writes graft.json, and removes what an earlier run left unless this one resumes it. */
export async function prepareOutFolder(
  out: string,
  source: string,
  { resume, system }: RunFolderOptions,
): Promise<RunFolder> {
  const sink = createFileSink(out)
  const created = resume ? (await readExpertMetadata(out))?.expert?.created : undefined
  const expert = { created: created ?? new Date().toISOString() }
  const notes = { base: source, ...(system === undefined ? {} : { system }) }
  await writeExpertMetadata({ ...notes, expert }, sink)
  if (!resume) await removeStale(out)
  return {
    async writeResults(end) {
      await writeResults(end, out)
      const taught = end.adapter.metadata?.[dateKey]
      if (end.reason !== 'stopped')
        await writeExpertMetadata(
          {
            ...notes,
            ...(taught !== undefined && { date: taught }),
            expert: describeExpert(end.adapter, expert),
          },
          sink,
        )
    },
  }
}

/** What an expert's adapter says about itself, with the times of its training. */
function describeExpert({ metadata }: Adapter, { created }: { readonly created: string }) {
  const scores = readScores(metadata)
  const finished = new Date().toISOString()
  return { ...readDescription(metadata), created, finished, ...(scores && { scores }) }
}

/**
 * Adds scores to a trained expert: to the header of its tensor file and to graft.json. AdapterScores of
 * the same name are replaced.
 */
export async function writeScores(
  out: string,
  adapter: Adapter,
  more: AdapterScores,
): Promise<void> {
  const sink = createFileSink(out)
  const scores = Object.assign({}, readScores(adapter.metadata), more)
  const metadata = Object.assign({}, adapter.metadata, toScoresMetadata(scores))
  await saveAdapter({ ...adapter, metadata }, sink)
  const notes = await readExpertMetadata(out)
  if (notes) await writeExpertMetadata({ ...notes, expert: { ...notes.expert, scores } }, sink)
}

async function removeStale(out: string): Promise<void> {
  const stale = [checkpointFolder, ewcFile, 'loss.svg', 'history.jsonl']
  await removeAdapter(out)
  await Promise.all(stale.map((name) => rm(join(out, name), { recursive: true, force: true })))
}

/** Checkpoints in the run's folder; a run that resumes looks for the newest one there. */
export async function openCheckpoint(
  out: string,
  { resume = false, everySteps = defaultCheckpointSteps },
): Promise<CheckpointOptions> {
  const folder = join(out, checkpointFolder)
  const source = resume && (await exists(folder)) ? await openDirectory(folder) : undefined
  return { sink: createFileSink(folder), everySteps, ...(source && { source }) }
}

/** Writes the history and the loss curve; the adapter and the EWC state where the run has ended. */
async function writeResults(
  { history, reason, best, ewc }: TrainResult,
  out: string,
): Promise<void> {
  const sink = createFileSink(out)
  await writeHistory(history, sink)
  if (ewc) await saveEwcState(ewc, sink)
  if (reason !== 'stopped') await saveAdapter(best.adapter, sink)
}

/**
 * One line for each step and validation, in the order in which they happened. Keys are named, so
 * that a resumed run writes the same bytes.
 */
async function writeHistory(history: History, sink: ByteSink): Promise<void> {
  const rows = [
    ...history.steps.map(({ step, loss, learningRate, gradientNorm }) => ({
      type: 'step',
      step,
      loss,
      learningRate,
      gradientNorm,
    })),
    ...history.validations.map(({ step, loss }) => ({ type: 'validation', step, loss })),
  ].sort((a, b) => a.step - b.step)
  const encode = (text: string): Uint8Array[] => [new TextEncoder().encode(text)]
  await sink.write('history.jsonl', encode(rows.map((row) => `${JSON.stringify(row)}\n`).join('')))
  await sink.write('loss.svg', encode(drawLossCurve(history)))
}
