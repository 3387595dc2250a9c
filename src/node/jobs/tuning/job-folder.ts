// Jobs of clients in a folder: each in its own folder, with its state, its events, its rows and the
// run itself.

import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TuningEvent, TuningJob } from '../../../server/api/jobs/job-service.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'

const idPattern = /^ftjob-[0-9a-f]{32}$/

export class JobFolder {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The folder of one job. */
  locate(id: string): string {
    return join(this.#folder, id)
  }

  /** The folder of its run, and of the expert that it makes. */
  locateRun(id: string): string {
    return join(this.#folder, id, 'expert')
  }

  /** In the order in which they were made. */
  async list(): Promise<TuningJob[]> {
    const names = await readIfThere(readdir(this.#folder), this.#folder)
    const jobs: TuningJob[] = []
    for (const name of names ?? []) {
      const path = join(this.#folder, name, 'job.json')
      const text = idPattern.test(name) && (await readIfThere(readFile(path, 'utf8'), path))
      if (text) jobs.push(JSON.parse(text) as TuningJob)
    }
    return jobs.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
  }

  async put(job: TuningJob): Promise<void> {
    const sink = createFileSink(this.locate(job.id))
    await sink.write('job.json', [new TextEncoder().encode(JSON.stringify(job))])
  }

  async addEvent(id: string, event: TuningEvent): Promise<void> {
    const path = join(this.locate(id), 'events.jsonl')
    await appendFile(path, `${JSON.stringify(event)}\n`).catch((cause: unknown) => {
      throw toStorageError(`${path}: cannot be written`, cause)
    })
  }

  /** A line that a killed process did not end is left out. */
  async listEvents(id: string): Promise<TuningEvent[]> {
    const path = join(this.locate(id), 'events.jsonl')
    const text = (await readIfThere(readFile(path, 'utf8'), path)) ?? ''
    return text.split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as TuningEvent]
      } catch {
        return []
      }
    })
  }

  async remove(id: string): Promise<void> {
    await rm(this.locate(id), { recursive: true, force: true })
  }
}

/** undefined if there is nothing. Throws StorageError. */
async function readIfThere<T>(reading: Promise<T>, path: string): Promise<T | undefined> {
  try {
    return await reading
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
  }
}
