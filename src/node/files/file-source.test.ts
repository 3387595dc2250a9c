import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { openFileSource } from './file-source.ts'
import { openDirectory } from './folder.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-source-'))
  await writeFile(
    join(directory, 'ten.bin'),
    Uint8Array.from({ length: 10 }, (_, i) => i),
  )
  await mkdir(join(directory, 'sub'))
  await writeFile(join(directory, 'sub', 'one.txt'), 'one')
})
afterAll(() => rm(directory, { recursive: true }))

describe('a file as a byte source', () => {
  it('reads any stretch, each into memory of its own', async () => {
    const source = await openFileSource(join(directory, 'ten.bin'))
    const [middle, whole, none] = await Promise.all([
      source.read(3, 4),
      source.read(0, 10),
      source.read(10, 0),
    ])
    expect([source.sizeBytes, [...middle], [...whole].length, none.length]).toEqual([
      10,
      [3, 4, 5, 6],
      10,
      0,
    ])
    expect(middle.byteOffset).toBe(0)
    expect(middle.buffer.byteLength).toBe(4)
    await source.close!()
  })

  it('reads into memory that is given', async () => {
    const source = await openFileSource(join(directory, 'ten.bin'))
    const memory = new Uint8Array(8)
    const read = await source.read(3, 4, (sizeBytes) => memory.subarray(2, 2 + sizeBytes))
    expect([read.buffer === memory.buffer, [...memory]]).toEqual([true, [0, 0, 3, 4, 5, 6, 0, 0]])
    await source.close!()
  })

  it.each([
    [8, 3],
    [11, 0],
    [-1, 2],
    [0, Number.NaN],
  ])('refuses to read from %i, %i bytes', async (offset, length) => {
    const source = await openFileSource(join(directory, 'ten.bin'))
    await expect(source.read(offset, length)).rejects.toThrow(FormatError)
    await expect(source.read(offset, length)).rejects.toThrow(/ten\.bin.*the file has 10 bytes/)
    await source.close!()
  })

  it('reports it when the file became shorter', async () => {
    const path = join(directory, 'shrinking.bin')
    await writeFile(path, new Uint8Array(10))
    const source = await openFileSource(path)
    await truncate(path, 4)
    await expect(source.read(2, 6)).rejects.toThrow(/became shorter.*byte 4 of 10/)
    await source.close!()
  })

  it('is refused where there is no file, or a directory', async () => {
    await expect(openFileSource(join(directory, 'none'))).rejects.toThrow(NotFoundError)
    await expect(openFileSource(directory)).rejects.toThrow(/got a directory/)
  })
})

describe('a directory as a folder', () => {
  it('opens what is there, in folders below too', async () => {
    const folder = await openDirectory(directory)
    const source = await folder.open('sub/one.txt')
    expect(new TextDecoder().decode(await source!.read(0, 3))).toBe('one')
    await source!.close!()
    expect(await folder.open('nothing.json')).toBeUndefined()
    expect(await folder.open('ten.bin/below')).toBeUndefined()
  })

  it.each(['../x', '/etc/passwd', 'sub/../../x', '..'])(
    'refuses %s, which leads out of it',
    async (name) => {
      await expect((await openDirectory(join(directory, 'sub'))).open(name)).rejects.toThrow(
        FormatError,
      )
    },
  )

  it('is refused where there is none', async () => {
    await expect(openDirectory(join(directory, 'none'))).rejects.toThrow(NotFoundError)
    await expect(openDirectory(join(directory, 'ten.bin'))).rejects.toThrow(NotFoundError)
  })
})
