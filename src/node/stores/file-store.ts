// Users' items as files: <folder>/<two digits>/<SHA-256 of the user's name>/<item>@<version>, and
// beside them the user's name in `name`. A hash is a safe file name for any user, on file systems
// that ignore case too. Knows nothing of what the bytes mean.

import { createHash } from 'node:crypto'
import { link, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ConflictError } from '../../base/errors.ts'
import {
  checkItem,
  checkUser,
  checkVersion,
  nextVersion,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { fileSink, type OpenForWriting } from '../files/file-sink.ts'
import { withLock } from '../models/lock.ts'
import { errorCode, storageError } from '../files/system-errors.ts'

interface Entry {
  readonly item: string
  readonly version: number
  readonly path: string
}

const nameFile = 'name'
// a reader that finds a file replaced looks again; each time somebody else has got further
const retries = 20

/**
 * A store in a directory, which is made by the first write. Writers of one user take turns, in all
 * processes of this machine; readers need not wait. A process that is killed while it writes leaves
 * the version before, and a file that the next write removes. `openForWriting` is for tests.
 */
export function fileStore(directory: string, openForWriting?: OpenForWriting): UserStore {
  const folderOf = (user: string): string => {
    checkUser(user)
    const hash = createHash('sha256').update(user).digest('hex')
    return join(directory, hash.slice(0, 2), hash)
  }
  return {
    name: directory,
    get: async (user, item) => {
      checkItem(item)
      return newestBytes(folderOf(user), item)
    },
    put: async (user, item, bytes, expected) => {
      checkItem(item)
      const folder = folderOf(user)
      const write = async (): Promise<number> => {
        const found = newest(await entriesOf(folder), item)
        checkVersion(directory, user, item, found?.version, expected)
        const version = nextVersion(found?.version, Math.random)
        const sink = fileSink(folder, openForWriting)
        if (!(await isFile(join(folder, nameFile))))
          await sink.write(nameFile, [new TextEncoder().encode(user)])
        await claim(sink, folder, `${item}@${version}`, bytes)
        await removeOlder(folder, item, version)
        return version
      }
      return takingTurns(`${folder}.lock`, write)
    },
    list: async (user) => {
      const newestOf = new Map<string, Entry>()
      for (const entry of await entriesOf(folderOf(user)))
        if (entry.version > (newestOf.get(entry.item)?.version ?? 0))
          newestOf.set(entry.item, entry)
      const sized = [...newestOf.values()].map(async ({ item, version, path }) => ({
        item,
        version,
        sizeBytes: await sizeOf(path),
      }))
      return (await Promise.all(sized)).sort((a, b) => (a.item < b.item ? -1 : 1))
    },
    delete: async (user, item, expected) => {
      checkItem(item)
      const folder = folderOf(user)
      const remove = async (): Promise<void> => {
        const entries = await entriesOf(folder)
        checkVersion(directory, user, item, newest(entries, item)?.version, expected)
        for (const entry of entries.filter((other) => other.item === item))
          await guarded(entry.path, () => rm(entry.path, { force: true }))
        if (entries.every((entry) => entry.item === item)) await removeFolder(folder)
      }
      if ((await isFile(join(folder, nameFile))) || expected !== undefined)
        await takingTurns(`${folder}.lock`, remove)
    },
    forget: async (user) => {
      const folder = folderOf(user)
      if (await isFile(join(folder, nameFile)))
        await takingTurns(`${folder}.lock`, () => removeFolder(folder))
    },
    users: () => usersIn(directory),
    close: async () => undefined,
  }
}

/**
 * Turns within this process need no file and no waiting by the clock; only the one whose turn it is
 * asks for the lock between processes.
 */
const turns = new Map<string, Promise<unknown>>()

async function takingTurns<T>(lockPath: string, work: () => Promise<T>): Promise<T> {
  const before = turns.get(lockPath) ?? Promise.resolve()
  const mine = before.then(
    () => withLock(lockPath, work),
    () => withLock(lockPath, work),
  )
  turns.set(lockPath, mine)
  try {
    return await mine
  } finally {
    if (turns.get(lockPath) === mine) turns.delete(lockPath)
  }
}

const guarded = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (cause) {
    throw storageError(`${path}: cannot be read or written`, cause)
  }
}

const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined
/** 0 for a file that was replaced since it was listed. */
const sizeOf = async (path: string): Promise<number> =>
  (await stat(path).catch(() => undefined))?.size ?? 0

/** What a folder names as items; nothing where there is no folder. */
async function entriesOf(folder: string): Promise<Entry[]> {
  const names = await namesIn(folder)
  return names.flatMap((name) => {
    const match = /^([a-z0-9][a-z0-9.-]*)@(\d{1,16})$/.exec(name)
    return match ? [{ item: match[1]!, version: Number(match[2]), path: join(folder, name) }] : []
  })
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return []
    throw storageError(`${folder}: cannot be read`, cause)
  }
}

const newest = (entries: readonly Entry[], item: string): Entry | undefined =>
  entries
    .filter((entry) => entry.item === item)
    .reduce<Entry | undefined>(
      (best, entry) => (best && best.version > entry.version ? best : entry),
      undefined,
    )

async function newestBytes(
  folder: string,
  item: string,
): Promise<{ bytes: Uint8Array; version: number } | undefined> {
  for (let attempt = 1; ; attempt++) {
    const found = newest(await entriesOf(folder), item)
    if (!found) return undefined
    try {
      const bytes = await readFile(found.path)
      return {
        bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
        version: found.version,
      }
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT' || attempt === retries)
        throw storageError(`${found.path}: cannot be read`, cause)
    }
  }
}

/**
 * Writes the file whole and gives it its name only where nobody has that name: a second guard
 * beside the lock.
 */
async function claim(
  sink: ReturnType<typeof fileSink>,
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
    const code = errorCode(cause)
    if (code === 'EEXIST')
      throw new ConflictError(
        `${final}: somebody else wrote it in between. Read it again and write on top of that.`,
      )
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS')
      throw storageError(`${final}: cannot be written`, cause)
    // a file system without hard links: the lock alone has to do
    await guarded(final, () => rename(pending, final))
  }
}

/**
 * Versions before this one, and what killed processes left; the caller's turn makes sure that
 * nobody else is writing here.
 */
async function removeOlder(folder: string, item: string, version: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    const older = name.startsWith(`${item}@`) && name !== `${item}@${version}`
    if (older || /\.(pending|tmp)$/.test(name))
      // the write itself is done
      await rm(join(folder, name), { force: true }).catch(() => undefined)
  }
}

/** Out of sight at once, then away. */
async function removeFolder(folder: string): Promise<void> {
  const gone = `${folder}.gone`
  await guarded(folder, () => rm(gone, { recursive: true, force: true }))
  await guarded(folder, () => rename(folder, gone))
  await guarded(folder, () => rm(gone, { recursive: true, force: true }))
}

async function usersIn(directory: string): Promise<string[]> {
  const users: string[] = []
  for (const prefix of await namesIn(directory)) {
    if (!/^[0-9a-f]{2}$/.test(prefix)) continue
    for (const hash of await namesIn(join(directory, prefix))) {
      const folder = join(directory, prefix, hash)
      if (!/^[0-9a-f]{64}$/.test(hash) || (await entriesOf(folder)).length === 0) continue
      const user = await readFile(join(folder, nameFile), 'utf8').catch(() => undefined)
      if (user !== undefined) users.push(user)
    }
  }
  return users
}
