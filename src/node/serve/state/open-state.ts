// The folder in which servers keep their state: its place, permissions and contents.

import { chmod, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ServerState } from '../../../server/state/server-state.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { toStorageError } from '../../files/system-errors.ts'
import type { Environment } from '../../models/cache.ts'
import { openSqliteState } from './sqlite-state.ts'

/** GRAFT_STATE, else XDG_STATE_HOME/graft, else ~/.local/state/graft. */
export function getStateDirectory(environment: Environment = process.env): string {
  if (environment['GRAFT_STATE']) return environment['GRAFT_STATE']
  return join(environment['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'graft')
}

/** Keys, usage and loaded experts. */
export const getStateFile = (folder: string): string => join(folder, 'server.db')
/** What users' tiers learned: a UserStore. */
export const getUsersFile = (folder: string): string => join(folder, 'users.db')

/**
 * Opens the state in a folder, which is made where it is missing and is readable by its owner only.
 */
export async function openState(folder: string): Promise<ServerState> {
  await prepareStateFolder(folder)
  return openSqliteState(getStateFile(folder))
}

/** Creates the folder, readable for its owner only. An existing folder keeps its permissions. */
export async function prepareStateFolder(folder: string): Promise<void> {
  try {
    const before = await stat(folder).catch(() => undefined)
    await makeDirectory(folder)
    if (before === undefined) await chmod(folder, 0o700)
  } catch (cause) {
    throw toStorageError(`${folder}: cannot be created`, cause)
  }
}
