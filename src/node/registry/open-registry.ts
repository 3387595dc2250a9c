// A registry in a folder: `content/<hash>/` holds experts' folders, `index.db` the names, versions
// and channels. Several processes may use it at once; a process that is killed leaves it whole.

import { join } from 'node:path'
import { OptionError } from '../../base/errors.ts'
import { checkOptions, integer, string, unchecked } from '../../base/schema.ts'
import { openSqliteFile, runWithRetry } from '../stores/sqlite-file.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { toStorageError } from '../files/system-errors.ts'
import { ContentFolder, contentFolder } from './content-folder.ts'
import type { LocalRegistry } from './local-registry.ts'
import { isPostgresAddress, splitPostgresAddress } from './postgres-address.ts'
import { RegistrySnapshot } from './registry-snapshot.ts'
import { registrySchema, RegistryTables } from './registry-tables.ts'
import { FolderRegistry } from './folder-registry.ts'

export interface RegistryOptions {
  /** How long a call waits for another process that is writing, in milliseconds. Default 10,000. */
  readonly waitMs?: number | undefined
  /** The current time, as ISO 8601; for tests. */
  readonly now?: (() => string) | undefined
  /** The folder of the files, which all machines see; for a registry whose index is in Postgres. */
  readonly content?: string | undefined
}

const registryFields = {
  waitMs: integer({ from: 0, default: 10_000 }),
  now: unchecked<() => string>('a function'),
  content: string({ filled: true }),
}

/**
 * Opens the registry in a folder, or makes one; or one whose index is in Postgres and whose files are
 * in a folder that all its machines see: 'postgres://host/database' with `content`, or with
 * '?content=/mnt/experts' in the address. Throws StorageError for a newer registry, and where the
 * database is away.
 */
export async function openRegistry(
  location: string,
  options: RegistryOptions = {},
): Promise<LocalRegistry> {
  checkOptions('Registry options', options, registryFields)
  const { waitMs = registryFields.waitMs.default, now = () => new Date().toISOString() } = options
  if (isPostgresAddress(location)) return openShared(location, options, now)
  if (options.content !== undefined)
    throw new OptionError('Registry options: content is for a registry at postgres://….')
  try {
    await makeDirectory(location)
  } catch (error) {
    throw toStorageError(`${location}: cannot be made`, error)
  }
  const database = await openSqliteFile(join(location, 'index.db'), registrySchema, waitMs)
  const content = await ContentFolder.open(join(location, contentFolder))
  const tables = new RegistryTables(database)
  const run = async <T>(work: () => T | Promise<T>): Promise<T> =>
    runWithRetry(`${location}: its index cannot be used`, waitMs, work)
  const close = async (): Promise<void> => {
    if (database.isOpen) database.close()
  }
  const snapshot = new RegistrySnapshot(tables)
  return new FolderRegistry({ location, content, tables, snapshot, run, now, close })
}

/** A registry of several machines. */
async function openShared(
  address: string,
  options: RegistryOptions,
  now: () => string,
): Promise<LocalRegistry> {
  const { location, content: named } = splitPostgresAddress(address)
  const folder = options.content ?? named
  if (folder === undefined)
    throw new OptionError(
      'A registry in Postgres needs a folder for its files that all machines see: ?content=/mnt/experts in the address, or the option content.',
    )
  try {
    await makeDirectory(folder)
  } catch (error) {
    throw toStorageError(`${folder}: cannot be made`, error)
  }
  const [{ openPostgres }, { PostgresIndex, postgresRegistrySchema }] = await Promise.all([
    import('../stores/postgres-pool.ts'),
    import('./postgres-index.ts'),
  ])
  const pool = await openPostgres(location, postgresRegistrySchema)
  const content = await ContentFolder.open(join(folder, contentFolder), { isShared: true })
  const index = new PostgresIndex(pool)
  return new FolderRegistry({
    location: folder,
    content,
    tables: index,
    snapshot: index,
    run: async (work) => work(),
    now,
    close: () => pool.close(),
  })
}
