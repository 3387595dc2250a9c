// Clients' batches in a folder: a subfolder for each, with its input and the results so far.

import { createReadStream, createWriteStream } from 'node:fs'
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { RequestBatch } from '../../../server/api/batches/batch.ts'
import type { BatchStore } from '../../../server/api/batches/batch-store.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'

const idPattern = /^batch_[0-9a-f]{32}$/
const aboutName = 'batch.json'
const inputName = 'input.jsonl'
const resultsName = 'results.jsonl'

export function openBatchFolder(folder: string): BatchStore {
  const at = (id: string, name: string): string => join(folder, id, name)
  const find = async (id: string): Promise<RequestBatch | undefined> => {
    if (!idPattern.test(id)) return undefined
    const text = await readIfThere(at(id, aboutName))
    return text === undefined ? undefined : (JSON.parse(text) as RequestBatch)
  }
  return {
    find,
    async list() {
      const found = await Promise.all((await listNames(folder)).map(find))
      return found
        .filter((batch) => batch !== undefined)
        .toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
    },
    async put(batch) {
      const sink = createFileSink(join(folder, batch.id))
      await sink.write(aboutName, [new TextEncoder().encode(JSON.stringify(batch))])
    },
    async writeInput(id, content) {
      await makeDirectory(join(folder, id))
      await run(at(id, inputName), 'written', () =>
        pipeline(Readable.from(content), createWriteStream(at(id, inputName))),
      )
    },
    readInput: (id) => createReadStream(at(id, inputName)),
    async addResults(id, lines) {
      const text = lines.map((line) => `${line}\n`).join('')
      await run(at(id, resultsName), 'written', () => appendFile(at(id, resultsName), text))
    },
    async readResults(id) {
      const path = at(id, resultsName)
      const text = (await readIfThere(path)) ?? ''
      const whole = text.slice(0, text.lastIndexOf('\n') + 1)
      if (whole !== text) await run(path, 'written', () => writeFile(path, whole))
      return whole.split('\n').slice(0, -1)
    },
    async clear(id) {
      for (const name of [inputName, resultsName])
        await run(at(id, name), 'removed', () => rm(at(id, name), { force: true }))
    },
  }
}

async function run<T>(path: string, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw toStorageError(`${path}: cannot be ${what}`, cause)
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
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
