// Training as one of several replicas: only replica 0 writes files.

import { readFileSync } from 'node:fs'
import { WorkerError } from '../../base/errors.ts'
import type { TrainRun } from '../../train/run/train.ts'
import { hasRunStarted } from '../manifests/training-run.ts'
import { openCheckpoint } from '../run-folder.ts'
import { train } from '../train.ts'
import type { TrainFilesOptions } from '../train-files.ts'
import { openPipeExchange, type ReplicaPipes } from './pipe-exchange.ts'
import type { ReplicaPlace } from './replica-place.ts'

const nowhere = { name: 'nowhere', write: async (): Promise<void> => undefined }

/** Options of a run with a folder, which all replicas share. */
export interface ReplicaOptions extends TrainFilesOptions {
  readonly out: string
}

const packageFile = new URL('../../../package.json', import.meta.url)

/** The version of this program, which must be that of all replicas. */
const readVersion = (): string =>
  (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version

/** Ends this process if its parent has ended, because its results are not needed any more. */
export function endWithParent(everyMs = 500): () => void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid !== parent) process.exit(lostCode)
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** The exit code of a replica that has lost the others: a new attempt may succeed. */
export const lostCode = 3

/** Whether an error means that other replicas are gone, not that the run itself failed. */
export const isLost = (error: unknown): boolean => error instanceof WorkerError

/**
 * Trains this replica's share of the run; its events are those of a run alone. From the second
 * attempt on, it resumes from the last checkpoint if there is one.
 */
export async function trainReplica(
  given: ReplicaOptions,
  place: ReplicaPlace,
  pipes?: ReplicaPipes,
): Promise<TrainRun> {
  const exchange = { ...openPipeExchange(place, pipes), about: { graft: readVersion() } }
  const isAgain = place.attempt > 1 && (await hasRunStarted(given.out))
  const again = isAgain ? { resume: true, overwrite: false } : {}
  if (place.rank === 0) return train({ ...given, ...again, exchange })
  const { out, resume = false, overwrite: _overwrite, checkpoint = {}, ...others } = given
  const { everySteps } = checkpoint
  const kept = await openCheckpoint(out, {
    resume: resume || isAgain,
    ...(everySteps !== undefined && { everySteps }),
  })
  return train({ ...others, checkpoint: { ...kept, sink: nowhere }, exchange })
}
