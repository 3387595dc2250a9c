// Users' items as files: <folder>/<two digits>/<SHA-256 of the user's name>/<item>@<version>, and
// next to them the user's name in `name`. A hash is a safe file name for any user, also on file
// systems that ignore case. Independent of what the bytes mean.

import { createHash } from 'node:crypto'
import { link, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ConflictError } from '../../base/errors.ts'
import {
  checkItem,
  checkUser,
  checkItemVersion,
  computeNextVersion,
  type ItemInfo,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { createFileSink, type OpenForWriting } from '../files/file-sink.ts'
import { withLock } from '../files/lock.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

interface Entry {
  readonly item: string
  readonly version: number
  readonly path: string
}

const nameFile = 'name'
// A reader whose file was replaced reads again; each retry means that another writer has made
// progress.
const retries = 20

/**
 * A store in a directory, which the first write creates. Writers of one user take a lock, across
 * all processes of this machine; readers do not wait. A process that is killed while it writes
 * leaves the previous version, and a file that the next write removes. `openForWriting` is for
 * tests.
 */
export function createFileStore(directory: string, openForWriting?: OpenForWriting): UserStore {
  const folderOf = (user: string): string => {
    checkUser(user)
    const hash = createHash('sha256').update(user).digest('hex')
    return join(directory, hash.slice(0, 2), hash)
  }
  const placeOf = (user: string, item: string): Place => {
    checkItem(item)
    return { directory, folder: folderOf(user), user, item }
  }
  return {
    name: directory,
    get: async (user, item) => readNewest(placeOf(user, item).folder, item),
    put: async (user, item, bytes, expected) => {
      const place = placeOf(user, item)
      return runExclusively(`${place.folder}.lock`, () =>
        writeItem(place, bytes, expected, openForWriting),
      )
    },
    list: async (user) => listItems(folderOf(user)),
    delete: async (user, item, expected) => {
      const place = placeOf(user, item)
      if ((await exists(join(place.folder, nameFile))) || expected !== undefined)
        await runExclusively(`${place.folder}.lock`, () => removeItem(place, expected))
    },
    forget: async (user) => {
      const folder = folderOf(user)
      if (await exists(join(folder, nameFile)))
        await runExclusively(`${folder}.lock`, () => removeFolder(folder))
    },
    users: () => listUsers(directory),
    close: async () => undefined,
  }
}

/** One item of one user in a store. */
interface Place {
  readonly directory: string
  readonly folder: string
  readonly user: string
  readonly item: string
}

/** The caller has the user's lock. */
async function writeItem(
  { directory, folder, user, item }: Place,
  bytes: Uint8Array,
  expected: number | undefined,
  openForWriting: OpenForWriting | undefined,
): Promise<number> {
  const found = findNewest(await listEntries(folder), item)
  checkItemVersion(directory, user, item, found?.version, expected)
  const version = computeNextVersion(found?.version, Math.random)
  const sink = createFileSink(folder, openForWriting)
  if (!(await exists(join(folder, nameFile))))
    await sink.write(nameFile, [new TextEncoder().encode(user)])
  await writeUnclaimed(sink, folder, `${item}@${version}`, bytes)
  await removeOlderVersions(folder, item, version)
  return version
}

/** The caller has the user's lock. */
async function removeItem(
  { directory, folder, user, item }: Place,
  expected: number | undefined,
): Promise<void> {
  const entries = await listEntries(folder)
  checkItemVersion(directory, user, item, findNewest(entries, item)?.version, expected)
  for (const entry of entries.filter((other) => other.item === item))
    await wrapStorageErrors(entry.path, () => rm(entry.path, { force: true }))
  if (entries.every((entry) => entry.item === item)) await removeFolder(folder)
}

async function listItems(folder: string): Promise<ItemInfo[]> {
  const newestOf = new Map<string, Entry>()
  for (const entry of await listEntries(folder))
    if (entry.version > (newestOf.get(entry.item)?.version ?? 0)) newestOf.set(entry.item, entry)
  const sized = [...newestOf.values()].map(async ({ item, version, path }) => ({
    item,
    version,
    sizeBytes: await readSize(path),
  }))
  return (await Promise.all(sized)).sort((a, b) => (a.item < b.item ? -1 : 1))
}

/**
 * Writers of this process queue in memory, without polling; only the first of them takes the lock
 * between processes.
 */
const queues = new Map<string, Promise<unknown>>()

async function runExclusively<T>(lockPath: string, work: () => Promise<T>): Promise<T> {
  const before = queues.get(lockPath) ?? Promise.resolve()
  const mine = before.then(
    () => withLock(lockPath, work),
    () => withLock(lockPath, work),
  )
  queues.set(lockPath, mine)
  try {
    return await mine
  } finally {
    if (queues.get(lockPath) === mine) queues.delete(lockPath)
  }
}

const wrapStorageErrors = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (cause) {
    throw toStorageError(`${path}: cannot be read or written`, cause)
  }
}

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined
/** 0 for a file that was replaced since it was listed. */
const readSize = async (path: string): Promise<number> =>
  (await stat(path).catch(() => undefined))?.size ?? 0

/** The items in a folder; none if there is no folder. */
async function listEntries(folder: string): Promise<Entry[]> {
  const names = await listNames(folder)
  return names.flatMap((name) => {
    const match = /^([a-z0-9][a-z0-9.-]*)@(\d{1,16})$/.exec(name)
    return match ? [{ item: match[1]!, version: Number(match[2]), path: join(folder, name) }] : []
  })
}

async function listNames(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return []
    throw toStorageError(`${folder}: cannot be read`, cause)
  }
}

const findNewest = (entries: readonly Entry[], item: string): Entry | undefined =>
  entries
    .filter((entry) => entry.item === item)
    .reduce<Entry | undefined>(
      (best, entry) => (best && best.version > entry.version ? best : entry),
      undefined,
    )

async function readNewest(
  folder: string,
  item: string,
): Promise<{ bytes: Uint8Array; version: number } | undefined> {
  for (let attempt = 1; ; attempt++) {
    const found = findNewest(await listEntries(folder), item)
    if (!found) return undefined
    try {
      const bytes = await readFile(found.path)
      return {
        bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
        version: found.version,
      }
    } catch (cause) {
      if (findErrorCode(cause) !== 'ENOENT' || attempt === retries)
        throw toStorageError(`${found.path}: cannot be read`, cause)
    }
  }
}

/**
 * Writes the whole file under another name, then links it to its own name, which fails where that
 * name exists: a second guard besides the lock.
 */
async function writeUnclaimed(
  sink: ReturnType<typeof createFileSink>,
  folder: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const pending = join(folder, `${name}.pending`)
  const final = join(folder, name)
  await sink.write(`${name}.pending`, [bytes])
  try {
    await link(pending, final)
    await rm(pending, { force: true })
  } catch (cause) {
    const code = findErrorCode(cause)
    if (code === 'EEXIST')
      throw new ConflictError(
        `${final}: another process wrote it in between. Read it again and write on top of that.`,
      )
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS')
      throw toStorageError(`${final}: cannot be written`, cause)
    // A file system without hard links: only the lock guards.
    await wrapStorageErrors(final, () => rename(pending, final))
  }
}

/**
 * Removes earlier versions and the files of killed processes. The caller has the lock, so no other
 * process writes here.
 */
async function removeOlderVersions(folder: string, item: string, version: number): Promise<void> {
  for (const name of await listNames(folder)) {
    const older = name.startsWith(`${item}@`) && name !== `${item}@${version}`
    if (older || /\.(pending|tmp)$/.test(name))
      // The write itself is done.
      await rm(join(folder, name), { force: true }).catch(() => undefined)
  }
}

/** Renames the folder first, so that readers see it disappear at once. */
async function removeFolder(folder: string): Promise<void> {
  const gone = `${folder}.gone`
  await wrapStorageErrors(folder, () => rm(gone, { recursive: true, force: true }))
  await wrapStorageErrors(folder, () => rename(folder, gone))
  await wrapStorageErrors(folder, () => rm(gone, { recursive: true, force: true }))
}

async function listUsers(directory: string): Promise<string[]> {
  const users: string[] = []
  for (const prefix of await listNames(directory)) {
    if (!/^[0-9a-f]{2}$/.test(prefix)) continue
    for (const hash of await listNames(join(directory, prefix))) {
      const folder = join(directory, prefix, hash)
      if (!/^[0-9a-f]{64}$/.test(hash) || (await listEntries(folder)).length === 0) continue
      const user = await readFile(join(folder, nameFile), 'utf8').catch(() => undefined)
      if (user !== undefined) users.push(user)
    }
  }
  return users
}
