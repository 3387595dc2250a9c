// The folder of a training run in a browser: checks for an earlier run, locks the folder against
// other tabs, and opens checkpoints.

import { OptionError } from '../base/errors.ts'
import { ewcFile } from '../train/ewc/state.ts'
import type { CheckpointOptions } from '../train/options/options.ts'
import { historyFiles } from '../train/run/history-files.ts'
import { removeAdapter } from './adapters.ts'
import {
  createHandleFolder,
  createHandleSink,
  hasEntry,
  isDirectoryHandle,
  openOpfsFolder,
  removeEntries,
} from './sources/opfs.ts'

const checkpointFolder = 'checkpoints'
/**
 * About two checkpoints per minute on small models; a checkpoint is three times as large as the
 * adapter.
 */
const defaultCheckpointSteps = 25

export interface OutFolderOptions {
  readonly resume?: boolean | 'auto' | undefined
  readonly overwrite?: boolean | undefined
}

export interface OutFolder {
  readonly handle: FileSystemDirectoryHandle
  readonly name: string
  /** Whether the run continues from a checkpoint there. */
  readonly isResumed: boolean
  /** Releases the lock, so that another tab may use the folder. */
  release(): void
}

/**
 * Opens the folder, which is created if it does not exist, and locks it for this tab. Throws
 * OptionError if another tab trains into it, if it has an adapter or checkpoints and neither
 * replacing nor resuming was requested, and if there is nothing to resume from.
 */
export async function openOutFolder(
  out: string | FileSystemDirectoryHandle,
  options: OutFolderOptions,
): Promise<OutFolder> {
  const name = isDirectoryHandle(out) ? out.name : out
  const release = await reserveFolder(name)
  try {
    const handle = isDirectoryHandle(out) ? out : (await openOpfsFolder(out, { create: true }))!
    const hasAdapter = await hasEntry(handle, 'adapter_config.json')
    const hasCheckpoints = await hasEntry(handle, checkpointFolder)
    const isResumed = chooseResume(name, hasCheckpoints, options)
    const isUsed = hasAdapter || hasCheckpoints
    if (!isResumed && !options.overwrite && isUsed) {
      const found = hasAdapter ? 'an adapter' : 'an unfinished run'
      throw new OptionError(
        `${name}: holds ${found} already. Continue the run (resume: true), replace it (overwrite: true), or choose another folder.`,
      )
    }
    return { handle, name, isResumed, release }
  } catch (error) {
    release()
    throw error
  }
}

function chooseResume(
  name: string,
  hasCheckpoints: boolean,
  { resume = false }: OutFolderOptions,
): boolean {
  if (resume === true && !hasCheckpoints)
    throw new OptionError(
      `${name}: there is no earlier run to resume. Leave out resume, give resume: 'auto', or name the folder of the earlier run.`,
    )
  return resume !== false && hasCheckpoints
}

/** Locks a folder until it is released, or until this tab is closed. */
async function reserveFolder(name: string): Promise<() => void> {
  if (!navigator.locks) return () => undefined
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const isHeld = await new Promise<boolean>((resolve, reject) => {
    navigator.locks
      .request(`graft-run:${name}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null)
        return lock ? released : undefined
      })
      .catch(reject)
  })
  if (isHeld) return release
  throw new OptionError(
    `${name}: another tab or worker of this site trains into it. Wait for it, close it, or choose another folder.`,
  )
}

/**
 * Removes the files of an earlier run, unless this one resumes it, and marks the run as started.
 */
export async function prepareOutFolder({ handle, isResumed }: OutFolder): Promise<void> {
  if (!isResumed) {
    await removeAdapter(handle)
    await removeEntries(handle, [checkpointFolder, ewcFile, ...historyFiles])
  }
  await handle.getDirectoryHandle(checkpointFolder, { create: true })
}

/** Checkpoints in the run's folder; a run that resumes looks for the newest one there. */
export async function openCheckpoint(
  { handle, name, isResumed }: OutFolder,
  everySteps = defaultCheckpointSteps,
): Promise<CheckpointOptions> {
  const path = `${name}/${checkpointFolder}`
  const sink = createHandleSink(handle, name)
  const source = isResumed && createHandleFolder(handle, name)
  return {
    everySteps,
    sink: {
      name: path,
      write: (file, chunks) => sink.write(`${checkpointFolder}/${file}`, chunks),
    },
    ...(source && {
      source: { name: path, open: (file) => source.open(`${checkpointFolder}/${file}`) },
    }),
  }
}
