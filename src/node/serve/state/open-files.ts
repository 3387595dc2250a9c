// A server's files: in its state folder, or in a temporary one that is removed with the server.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { integer, type OptionFields, readOptions } from '../../../base/schema.ts'
import { createFileRoutes } from '../../../server/api/files/file-routes.ts'
import type { FileStore } from '../../../server/api/files/file-store.ts'
import type { Route } from '../../../server/route.ts'
import { openFileFolder } from './file-folder.ts'
import { getStateDirectory, prepareStateFolder } from './open-state.ts'

export interface ServeFilesOptions {
  /** Bytes of one uploaded file. Default 64 MiB. */
  readonly maxFileBytes?: number | undefined
  /** Bytes of all files. Default 4 GiB. */
  readonly filesBytes?: number | undefined
}

export const filesFields = {
  maxFileBytes: integer({
    from: 1024,
    default: 64 * 2 ** 20,
    about: 'bytes of one uploaded file; longer ones are refused with 413',
  }),
  filesBytes: integer({
    from: 1024,
    default: 4 * 2 ** 30,
    about: 'bytes of all files that clients keep here',
  }),
} satisfies OptionFields<ServeFilesOptions>

export interface OpenedFiles {
  readonly files: FileStore
  /** The folder for files and what is made from them. */
  readonly folder: string
  readonly routes: readonly Route[]
  close(): Promise<void>
}

/** `state`: the server's folder, or 'memory': nothing outlives the server. */
export async function openFiles(
  state: string = getStateDirectory(),
  options: ServeFilesOptions = {},
): Promise<OpenedFiles> {
  const { maxFileBytes, filesBytes } = readOptions('Server options', options, filesFields)
  const isTemporary = state === 'memory'
  const folder = isTemporary ? await mkdtemp(join(tmpdir(), 'graft-state-')) : state
  if (!isTemporary) await prepareStateFolder(folder)
  const files = openFileFolder(join(folder, 'files'))
  return {
    files,
    folder,
    routes: createFileRoutes({ files, maxFileBytes, maxTotalBytes: filesBytes }),
    async close() {
      if (isTemporary) await rm(folder, { recursive: true, force: true })
    },
  }
}
