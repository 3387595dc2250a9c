// The folder of a training run: files of an earlier run, checkpoints, and results.

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Adapter, type AdapterMetadata, dateKey } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import { ewcFile, saveEwcState } from '../train/ewc/state.ts'
import type { CheckpointOptions } from '../train/options/options.ts'
import { type ExpertManifest, isExpertName } from '../registry/manifest/manifest-fields.ts'
import { readDescription } from '../train/options/description.ts'
import { readScores, toScoresMetadata } from '../train/run/scores.ts'
import { writeHistory } from '../train/run/history-files.ts'
import type { TrainResult } from '../train/run/train.ts'
import { removeAdapter, saveAdapter } from './adapters.ts'
import { createManifest, toExpertName } from './expert/create-manifest.ts'
import { hasExpertFile, olderFile, readExpertMetadata } from './expert/expert-notes.ts'
import { measureFigures } from './expert/figures.ts'
import { readManifestFile, writeManifestFile } from './expert/manifest-file.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'

/** The options of a run that concern its folder. */
export interface RunFolderOptions {
  readonly resume?: boolean | undefined
  readonly overwrite?: boolean | undefined
  readonly system?: string | undefined
}

export const checkpointFolder = 'checkpoints'
/** About twice a minute on small models; a checkpoint is three times as large as the adapter. */
const defaultCheckpointSteps = 25

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined

/**
 * Throws OptionError if the folder has an adapter or checkpoints and neither replacing nor resuming
 * was requested, and if there is nothing to resume from.
 */
export async function checkOutFolder(
  out: string,
  { resume, overwrite }: RunFolderOptions,
): Promise<void> {
  const [begun, hasAdapter, hasCheckpoints] = await Promise.all([
    hasExpertFile(out),
    exists(join(out, 'adapter_config.json')),
    exists(join(out, checkpointFolder)),
  ])
  // A run that was killed before its first checkpoint starts again, because it had not got further.
  if (resume && !begun)
    throw new OptionError(
      `${out}: there is no earlier run to resume. Leave out resume, or name the folder of the earlier run.`,
    )
  if (resume || overwrite || !(hasAdapter || hasCheckpoints)) return
  const found = hasAdapter ? 'an adapter' : 'an unfinished run'
  throw new OptionError(
    `${out}: holds ${found} already. Continue the run (--resume, or resume: true), replace it (--overwrite, or overwrite: true), or choose another folder.`,
  )
}

/** A run's folder that is ready to be written to. */
export interface RunFolder {
  /** Writes the results: history, loss curve, and the adapter if the run has ended. */
  writeResults(end: TrainResult): Promise<void>
}

/** The part of a run that its expert's manifest records. */
export interface RunFacts {
  /** The base as the user named it. */
  readonly base: string
  readonly baseDigest: string | undefined
  readonly kind: string
  /** The adapter's metadata. */
  readonly metadata: AdapterMetadata
  readonly data: ExpertManifest['data']
  readonly provenance: ExpertManifest['provenance']
}

/** Writes expert.json, and removes what an earlier run left unless this one resumes it. */
export async function prepareOutFolder(
  out: string,
  facts: RunFacts,
  { resume, system }: RunFolderOptions,
): Promise<RunFolder> {
  const sink = createFileSink(out)
  const earlier = resume ? await readExpertMetadata(out) : undefined
  const now = new Date().toISOString()
  const { base, baseDigest, kind, metadata, data, provenance } = facts
  const notes = { base, ...(system === undefined ? {} : { system }) }
  const created = earlier?.manifest?.created ?? earlier?.expert?.created ?? now
  const more = { data, provenance, created }
  const { name } = readDescription(metadata)
  const id = isExpertName(name) ? name : toExpertName(out)
  const naming = { id, folder: out, now, baseDigest }
  const begun = createManifest({ kind, metadata }, notes, naming, { more })
  await writeManifestFile(Object.assign({}, earlier?.manifest, begun), sink)
  if (!resume) await removeStale(out)
  await rm(join(out, olderFile), { force: true })
  return {
    async writeResults(end) {
      await writeResults(end, out)
      if (end.reason === 'stopped') return
      const { adapter } = end.best
      const taught = adapter.metadata?.[dateKey]
      const figures = await measureFigures(out, adapter)
      const ended = createManifest(
        adapter,
        { ...notes, ...(taught !== undefined && { date: taught }) },
        naming,
        { more: { ...more, modified: new Date().toISOString(), figures } },
      )
      await writeManifestFile(Object.assign({}, earlier?.manifest, ended), sink)
    },
  }
}

/** Scores by metric, with their intervals. */
export type ManifestScores = NonNullable<ExpertManifest['scores']>

/**
 * Adds scores to a trained expert: to the header of its tensor file and to expert.json. Those of
 * the same name are replaced.
 */
export async function writeScores(
  out: string,
  adapter: Adapter,
  more: ManifestScores,
): Promise<void> {
  const sink = createFileSink(out)
  const values = Object.entries(more).map(([metric, { value = 0 }]) => [metric, value] as const)
  const scores = Object.assign({}, readScores(adapter.metadata), Object.fromEntries(values))
  const metadata = Object.assign({}, adapter.metadata, toScoresMetadata(scores))
  await saveAdapter({ ...adapter, metadata }, sink)
  await addManifestScores(out, more)
}

/** Adds scores to expert.json alone; false if there is none. */
export async function addManifestScores(
  folder: string,
  more: ManifestScores,
  figures: ExpertManifest['figures'] = {},
): Promise<boolean> {
  const manifest = await readManifestFile(folder)
  if (!manifest) return false
  const changed = {
    scores: Object.assign({}, manifest.scores, more),
    figures: Object.assign({}, manifest.figures, figures),
    modified: new Date().toISOString(),
  }
  await writeManifestFile(Object.assign({}, manifest, changed), createFileSink(folder))
  return true
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

/**
 * Writes the history and the loss curve; if the run has ended, also the adapter and the EWC state.
 */
async function writeResults(
  { history, reason, best, ewc }: TrainResult,
  out: string,
): Promise<void> {
  const sink = createFileSink(out)
  await writeHistory(history, sink)
  if (ewc) await saveEwcState(ewc, sink)
  if (reason !== 'stopped') await saveAdapter(best.adapter, sink)
}
