// A registry in a folder: `content/<hash>/` has experts' folders, `index.db` the names, versions
// and channels. Several processes may use it at once; killing a process at any time leaves it
// consistent.

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
import { FolderRegistry, type RegistryParts } from './folder-registry.ts'
import { getCopiesDirectory } from './registry-directory.ts'

export interface RegistryOptions {
  /** How long a call waits for another process that is writing, in milliseconds. Default 10,000. */
  readonly waitMs?: number | undefined
  /** The current time, as ISO 8601; for tests. */
  readonly now?: (() => string) | undefined
  /**
   * For a registry whose index is in Postgres: where the files are. A folder that all machines see,
   * or s3://bucket/prefix.
   */
  readonly content?: string | undefined
  /** The folder of this machine's copies of files in S3. Default: in the cache. */
  readonly copies?: string | undefined
}

const registryFields = {
  waitMs: integer({ from: 0, default: 10_000 }),
  now: unchecked<() => string>('a function'),
  content: string({ filled: true }),
  copies: string({ filled: true }),
}

/**
 * Opens or creates the registry in a folder, or one whose index is in Postgres and whose files are
 * in a folder that all its machines see or in S3: 'postgres://host/database' with `content`, or
 * with '?content=/mnt/experts' or '?content=s3://bucket/prefix' in the address. Throws StorageError
 * for a newer registry, and if the database or the bucket is unreachable.
 */
export async function openRegistry(
  location: string,
  options: RegistryOptions = {},
): Promise<LocalRegistry> {
  checkOptions('Registry options', options, registryFields)
  const { waitMs = registryFields.waitMs.default, now = () => new Date().toISOString() } = options
  if (isPostgresAddress(location)) return openShared(location, options, now)
  for (const name of ['content', 'copies'] as const)
    if (options[name] !== undefined)
      throw new OptionError(`Registry options: ${name} is for a registry at postgres://….`)
  try {
    await makeDirectory(location)
  } catch (error) {
    throw toStorageError(`${location}: cannot be created`, error)
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
  const { location: database, content: named } = splitPostgresAddress(address)
  const place = options.content ?? named
  if (place === undefined)
    throw new OptionError(
      'A registry in Postgres needs a place for its files that all machines see: ?content=/mnt/experts or ?content=s3://bucket/prefix in the address, or the option content.',
    )
  const [{ openPostgres }, { PostgresIndex, postgresRegistrySchema }] = await Promise.all([
    import('../stores/postgres-pool.ts'),
    import('./postgres-index.ts'),
  ])
  const pool = await openPostgres(database, postgresRegistrySchema)
  try {
    const index = new PostgresIndex(pool)
    return new FolderRegistry({
      ...(await openSharedContent(place, options.copies)),
      tables: index,
      snapshot: index,
      run: async (work) => work(),
      now,
      close: () => pool.close(),
    })
  } catch (error) {
    await pool.close()
    throw error
  }
}

/** The files of a registry of several machines, and a local folder for its other data. */
async function openSharedContent(
  place: string,
  copies: string | undefined,
): Promise<Pick<RegistryParts, 'location' | 'content'>> {
  const isBucket = /^s3:\/\//i.test(place)
  if (copies !== undefined && !isBucket)
    throw new OptionError(`Registry options: copies is for files at s3://…, got ${place}.`)
  const location = isBucket ? (copies ?? getCopiesDirectory(place)) : place
  try {
    await makeDirectory(location)
  } catch (error) {
    throw toStorageError(`${location}: cannot be made`, error)
  }
  const folder = join(location, contentFolder)
  if (!isBucket) return { location, content: await ContentFolder.open(folder, { isShared: true }) }
  const { openS3Content } = await import('./content/s3-content.ts')
  return { location, content: await openS3Content(place, folder) }
}
