// Trials and improvements of a registry's experts, in `trials.db` of its folder. Several processes
// may use it at once: servers that answer, and commands that conclude.

import { createHmac, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import {
  openSqliteFile,
  runTransaction,
  runWithRetry,
  truncateLog,
} from '../../stores/sqlite-file.ts'
import { createImprovements, type ImprovementStore } from './improvements.ts'
import { createTrials } from './sqlite-trials.ts'
import type { TrialFile } from './trial-file.ts'
import { trialSchema } from './trial-tables.ts'
import type { TrialStore } from '../../../route/trials/trial.ts'

export interface TrialsOptions {
  /** Milliseconds that a call waits for another process that is writing. Default 10,000. */
  readonly waitMs?: number
  /** The current time, as ISO 8601; for tests. */
  readonly now?: () => string
}

export interface OpenedTrials {
  readonly trials: TrialStore
  readonly improvements: ImprovementStore
  close(): Promise<void>
}

/** Opens the trials of the registry in a folder. Throws StorageError. */
export async function openTrials(
  registryFolder: string,
  { waitMs = 10_000, now = () => new Date().toISOString() }: TrialsOptions = {},
): Promise<OpenedTrials> {
  const path = join(registryFolder, 'trials.db')
  const database = await openSqliteFile(path, trialSchema, waitMs)
  const read = <T>(work: () => T): Promise<T> =>
    runWithRetry(`${path}: cannot be used`, waitMs, work)
  const write = <T>(work: () => T): Promise<T> => read(() => runTransaction(database, work))
  const secret = await write(() => readSecret(database))
  const file: TrialFile = {
    database,
    now,
    read,
    write,
    hideUser: (user) => createHmac('sha256', secret).update(user).digest('hex').slice(0, 32),
    purge: () => read(() => truncateLog(database)),
  }
  const close = async (): Promise<void> => {
    if (database.isOpen) database.close()
  }
  return { trials: createTrials(file, close), improvements: createImprovements(file), close }
}

/** Drawn once for each file. */
function readSecret(database: TrialFile['database']): string {
  const fresh = randomBytes(32).toString('hex')
  database
    .prepare("INSERT INTO secrets (name, value) VALUES ('users', ?) ON CONFLICT DO NOTHING")
    .run(fresh)
  const row = database.prepare("SELECT value FROM secrets WHERE name = 'users'").get()
  return String(row!['value'])
}
