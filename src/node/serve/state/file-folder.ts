// Clients' files in a folder: a subfolder for each, which one rename puts in place.

import { createReadStream } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { NotFoundError } from '../../../base/errors.ts'
import type { FileStore, StoredFile } from '../../../server/api/files/file-store.ts'
import { writeAtomically } from '../../files/atomic-write.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'

const idPattern = /^file-[0-9a-f]{32}$/
const contentName = 'content'
const aboutName = 'file.json'

/** `now`: milliseconds since 1970. Expired files are removed when they are requested. */
export function openFileFolder(folder: string, now: () => number = Date.now): FileStore {
  const findLive = async (id: string): Promise<StoredFile | undefined> => {
    const file = idPattern.test(id) ? await readNotes(folder, id) : undefined
    if (file?.expiresAt === undefined || file.expiresAt * 1000 > now()) return file
    await remove(id)
    return undefined
  }
  const remove = async (id: string): Promise<void> => {
    try {
      // a file without its record counts as removed, even if the process ends before the rest is
      // removed
      await rm(join(folder, id, aboutName), { force: true })
      await rm(join(folder, id), { recursive: true, force: true })
    } catch (cause) {
      throw toStorageError(`${id}: cannot be removed`, cause)
    }
  }
  const getContentPath = async (id: string): Promise<string> => {
    if (await findLive(id)) return join(folder, id, contentName)
    throw new NotFoundError(`There is no file ${JSON.stringify(id)}.`)
  }
  return {
    async add(file, content) {
      const id = `file-${crypto.randomUUID().replaceAll('-', '')}`
      return writeAtomically(join(folder, id), async (place) => {
        const sink = createFileSink(place)
        let sizeBytes = 0
        await sink.write(
          contentName,
          countChunks(content, (bytes) => (sizeBytes += bytes)),
        )
        const stored: StoredFile = Object.assign({ id, sizeBytes }, file)
        await sink.write(aboutName, [new TextEncoder().encode(JSON.stringify(stored))])
        return stored
      })
    },
    async list() {
      const names = (await listNames(folder)).filter((name) => idPattern.test(name))
      const files = await Promise.all(names.map(findLive))
      return files
        .filter((file) => file !== undefined)
        .toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
    },
    find: findLive,
    read: async (id) =>
      Readable.toWeb(createReadStream(await getContentPath(id))) as ReadableStream<Uint8Array>,
    locate: getContentPath,
    delete: async (id) => {
      if (idPattern.test(id)) await remove(id)
    },
  }
}

function* countChunks(
  chunks: Iterable<Uint8Array>,
  add: (bytes: number) => void,
): Generator<Uint8Array> {
  for (const chunk of chunks) {
    add(chunk.length)
    yield chunk
  }
}

/** Empty if there is no folder yet. */
async function listNames(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return []
    throw toStorageError(`${folder}: cannot be listed`, cause)
  }
}

/** The record of a file; undefined if there is none. */
async function readNotes(folder: string, id: string): Promise<StoredFile | undefined> {
  const path = join(folder, id, aboutName)
  try {
    return JSON.parse(await readFile(path, 'utf8')) as StoredFile
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
  }
}
