import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FormatError, StorageError } from '../../base/errors.ts'
import { createFileSink, type OpenForWriting } from './file-sink.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-sink-'))
})
afterEach(() => rm(directory, { recursive: true }))

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A disk that has room for `roomBytes` more. */
const fullDisk =
  (roomBytes: number): OpenForWriting =>
  async (path) => {
    const file = await open(path, 'w')
    let room = roomBytes
    return {
      write: async (chunk, offset, length) => {
        if (room === 0)
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
            code: 'ENOSPC',
          })
        const written = await file.write(chunk, offset, Math.min(length, room))
        room -= written.bytesWritten
        return written
      },
      sync: () => file.sync(),
      close: () => file.close(),
    }
  }

describe('a file sink', () => {
  it('writes chunks in order, makes directories, replaces a file, leaves nothing else behind', async () => {
    const sink = createFileSink(join(directory, 'new'))
    await sink.write('deep/a.txt', [bytes('old and longer')])
    await sink.write(
      'deep/a.txt',
      (async function* () {
        yield bytes('one ')
        yield bytes('two')
      })(),
    )
    expect(await readFile(join(directory, 'new/deep/a.txt'), 'utf8')).toBe('one two')
    expect(await readdir(join(directory, 'new/deep'))).toEqual(['a.txt'])
  })

  it('keeps the old file and removes the new one when the disk is full', async () => {
    await writeFile(join(directory, 'a.txt'), 'old')
    const failed = createFileSink(directory, fullDisk(5)).write('a.txt', [bytes('far too much')])
    await expect(failed).rejects.toThrow(StorageError)
    await expect(failed).rejects.toThrow(/a\.txt: cannot be written: disk full/)
    await expect(failed).rejects.toHaveProperty('cause.code', 'ENOSPC')
    expect(await readdir(directory)).toEqual(['a.txt'])
    expect(await readFile(join(directory, 'a.txt'), 'utf8')).toBe('old')
  })

  it('continues after a short write', async () => {
    await createFileSink(directory, async (path) => {
      const file = await open(path, 'w')
      return {
        write: (chunk, offset, length) => file.write(chunk, offset, Math.min(length, 2)),
        sync: () => file.sync(),
        close: () => file.close(),
      }
    }).write('a.txt', [bytes('seven!!')])
    expect(await readFile(join(directory, 'a.txt'), 'utf8')).toBe('seven!!')
  })

  it('passes on an error of the source of chunks, and leaves no file', async () => {
    const chunks = function* (): Generator<Uint8Array> {
      yield bytes('half')
      throw new FormatError('the source broke')
    }
    await expect(createFileSink(directory).write('a.txt', chunks())).rejects.toThrow(FormatError)
    expect(await readdir(directory)).toEqual([])
  })

  it('refuses names that lead out, and a directory that is a file', async () => {
    await expect(createFileSink(directory).write('../a.txt', [])).rejects.toThrow(FormatError)
    await writeFile(join(directory, 'file'), '')
    await expect(createFileSink(join(directory, 'file')).write('a.txt', [])).rejects.toThrow(
      StorageError,
    )
  })
})
