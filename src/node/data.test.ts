// Rows from files and memory, and rows held back.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataError, NotFoundError, OptionError } from '../base/errors.ts'
import { createRawDataset } from '../train/data/jsonl.ts'
import { splitRows } from '../train/data/split-rows.ts'
import { toRows } from '../train/options/train-data.ts'
import { openData, readDataFile } from './data.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-data-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('data', () => {
  it('is read from a path, from rows in memory, or passed through', async () => {
    const path = join(folder, 'rows.jsonl')
    await writeFile(path, '{"text": "a"}\n\n{"text": "é"}\n')
    const read = await openData(path)
    expect(read).toMatchObject({
      name: path,
      rows: [{ number: 1 }, { number: 3, value: { text: 'é' } }],
    })
    expect(await openData(read)).toBe(read)
    expect(toRows(await openData([{ text: 'a' }]))).toMatchObject({
      rows: [{ number: 1, value: { text: 'a' } }],
    })
  })
  it('that is missing, no text or no JSON is named', async () => {
    await expect(readDataFile(join(folder, 'none.jsonl'))).rejects.toThrow(NotFoundError)
    await writeFile(join(folder, 'latin1.jsonl'), Buffer.from([0x22, 0xe9, 0x22]))
    await expect(readDataFile(join(folder, 'latin1.jsonl'))).rejects.toThrow(
      /latin1\.jsonl: is not UTF-8/,
    )
    await writeFile(join(folder, 'broken.jsonl'), '{"text": "a"}\n{"text"\n')
    await expect(readDataFile(join(folder, 'broken.jsonl'))).rejects.toThrow(DataError)
  })
})

describe('splitRows', () => {
  const data = createRawDataset(
    Array.from({ length: 20 }, (_, text) => ({ text })),
    'rows',
  )
  it('holds out a share, each row in exactly one part, in the order of the file', () => {
    const { train, validation } = splitRows(data, 0.25, 3)
    expect([train.rows.length, validation.rows.length]).toEqual([15, 5])
    const numbers = [train, validation].map(({ rows }) => rows.map(({ number }) => number))
    expect(numbers.flat().sort((a, b) => a - b)).toEqual(data.rows.map(({ number }) => number))
    for (const part of numbers) expect(part).toEqual(part.toSorted((a, b) => a - b))
  })
  it('gives the same rows for the same seed, others for another', () => {
    expect(splitRows(data, 0.25, 3)).toEqual(splitRows(data, 0.25, 3))
    expect(splitRows(data, 0.25, 4)).not.toEqual(splitRows(data, 0.25, 3))
  })
  it('refuses shares that leave a part empty', () => {
    for (const share of [0, 1, -0.5, 0.01, 0.99, NaN])
      expect(() => splitRows(data, share, 0)).toThrow(OptionError)
  })
})
