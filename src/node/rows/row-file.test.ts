// Rows from files of every kind, and the errors for files without rows.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataError } from '../../base/errors.ts'
import { readExamples } from '../../train/data/format-table.ts'
import { readDataFile } from '../data.ts'

const fixtures = new URL('../../../test/fixtures/rows/', import.meta.url)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-rows-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function readAs(name: string, bytes: string | Uint8Array) {
  await writeFile(join(folder, name), bytes)
  return readDataFile(join(folder, name))
}
const jsonl =
  '{"prompt":"Lily:","completion":" Lily saw."}\n{"prompt":"Tom:","completion":" Tom saw."}\n'
const values = [
  { prompt: 'Lily:', completion: ' Lily saw.' },
  { prompt: 'Tom:', completion: ' Tom saw.' },
]

describe('rows are read from', () => {
  it.each([
    ['JSONL', 'a.jsonl', jsonl],
    ['a JSON array over several lines', 'a.json', JSON.stringify(values, null, 2)],
    ['a JSON array on one line', 'b.json', JSON.stringify(values)],
    ['CSV', 'a.csv', '\uFEFFprompt,completion\r\nLily:, Lily saw.\r\n"Tom:"," Tom saw."\r\n'],
    ['TSV', 'a.tsv', 'prompt\tcompletion\nLily:\t Lily saw.\nTom:\t Tom saw.\n'],
    [
      'CSV with blank lines',
      'b.csv',
      '\n\nprompt,completion\nLily:, Lily saw.\n \nTom:, Tom saw.\n\n \n',
    ],
    ['gzipped JSONL', 'a.jsonl.gz', gzipSync(jsonl)],
    ['gzipped JSONL under another name', 'b.jsonl', gzipSync(jsonl)],
    ['gzipped CSV', 'a.csv.gz', gzipSync('prompt,completion\nLily:, Lily saw.\nTom:, Tom saw.')],
    ['JSONL compressed by Zstandard', 'a.jsonl.zst', zstdCompressSync(jsonl)],
  ])('%s', async (_, name, bytes) => {
    const { rows } = await readAs(name, bytes)
    expect(rows.map(({ value }) => value)).toEqual(values)
  })
  it.each(['snappy', 'zstd', 'gzip', 'none'])('Parquet, compression %s', async (compression) => {
    const bytes = await readFile(new URL(`chats.${compression}.parquet`, fixtures))
    const data = await readAs('a.parquet', bytes)
    expect(data.rows.map(({ number, value }) => [number, value['id'], value['weight']])).toEqual([
      [1, 7, 1],
      [2, 8, 0.5],
    ])
    const { examples } = readExamples(data)
    expect(examples[0]!.example).toMatchObject({ tools: [{ function: { name: 'find' } }] })
    expect(examples[0]!.example).not.toHaveProperty(['messages', 0, 'tool_calls'])
    expect(JSON.stringify(examples[0]!.example)).toContain(
      '"arguments":{"order_id":2512292042121000001,"ratio":1.0}',
    )
    expect(examples[1]!.example).toMatchObject({ messages: [{ content: 'Hi 😀' }, {}] })
  })
})

describe('a CSV file', () => {
  it('may hold lists of messages as JSON, and weights', async () => {
    const messages = [
      { role: 'user', content: 'a, "b"' },
      { role: 'assistant', content: 'c\nd' },
    ]
    const cell = `"${JSON.stringify(messages).replaceAll('"', '""')}"`
    const data = await readAs('chats.csv', `messages,weight\n${cell},0.5\n${cell},\n`)
    expect(readExamples(data).examples).toMatchObject([
      { example: { messages }, weight: 0.5 },
      { example: { messages }, weight: 1 },
    ])
  })
  it.each([
    ['text,text\na,b\n', 'two columns are named "text"'],
    ['text\n"a\n', 'is not valid CSV: '],
    ['text\n', 'contains no rows'],
    ['prompt,completion\na,b\nc\nd,e,f\n', 'row 3: got 1 cells, expected 2'],
  ])('%j is refused', async (text, problem) => {
    await expect(readAs('bad.csv', text)).rejects.toThrow(problem)
    await expect(readAs('bad.csv', text)).rejects.toThrow(DataError)
  })
})

describe('a file that contains no rows that can be read', () => {
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
  it.each([
    ['cut.jsonl.gz', gzipSync(jsonl).subarray(0, 30), 'cannot be decompressed'],
    ['cut.parquet', 'PAR1\u0015\u0004\u0015PAR1', 'cannot be read as Parquet'],
    ['a.zip', 'PK\u0003\u0004x', 'is a ZIP archive'],
    ['a.arrow', 'ARROW1\0\0', 'is an Arrow file. Convert it to JSONL, CSV or Parquet.'],
    ['wide.jsonl', Buffer.from('\uFEFF{}', 'utf16le'), 'is UTF-16 text'],
    ['pointer.jsonl', pointer, 'is a Git LFS pointer: the content was not fetched'],
    ['page.jsonl', '<!DOCTYPE html>\n<html>', 'is an HTML page'],
    ['open.json', '[\n{"text": "a"},\n', 'begins as a JSON array, and is not valid JSON'],
    ['comma.json', '[{"text": "a"},]', 'is not valid JSON: remove the comma before the last ]'],
    [
      'comma.jsonl',
      '{"text": "a",}\n',
      'row 1: is not valid JSON: remove the comma before the last }',
    ],
    ['rows.pdf', '%PDF-1.4', 'is a PDF file. Write its text as rows in JSONL or CSV.'],
    ['nested.json', '{\n"version": 1,\n"data": [{"text": "a"}]\n}', 'the list under "data"'],
    ['pretty.jsonl', '{\n"text": "a"\n}\n{\n"text": "b"\n}\n', 'objects over several lines'],
  ])('%s says what it is', async (name, bytes, problem) => {
    await expect(readAs(name, bytes)).rejects.toThrow(`${name}: `)
    await expect(readAs(name, bytes)).rejects.toThrow(problem)
    await expect(readAs(name, bytes)).rejects.toThrow(DataError)
  })
})
