// Rows of captured calls on a disk that is full for a while.

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { openRowWriter } from './row-writer.ts'

const module = fileURLToPath(new URL('./row-writer.ts', import.meta.url))
const program = `
const { openRowWriter } = await import(${JSON.stringify(module)})
const writer = await openRowWriter(process.argv[1])
const sizes = [200, 5000, 10]
for (const size of sizes)
  await writer.write({ text: 'x'.repeat(size) }).then(() => console.log('written'), (error) => console.log(error.name))
await writer.close()`

it('leaves no part of a row that did not fit, and writes the next one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'graft-rows-'))
  const path = join(folder, 'rows.jsonl')
  // a file of at most 1 kB, in place of a full disk: part of the second row fits
  const command = `ulimit -f 1; exec "$0" --input-type=module -e "$1" "$2"`
  const { stdout } = await promisify(execFile)('bash', [
    '-c',
    command,
    process.execPath,
    program,
    path,
  ])
  expect(stdout).toBe('written\nStorageError\nwritten\n')
  const lines = (await readFile(path, 'utf8')).split('\n')
  expect(lines.map((line) => line && JSON.parse(line).text.length)).toEqual([200, 10, ''])
  await rm(folder, { recursive: true })
})

it('says in one line that the disk is full', async () => {
  const writer = await openRowWriter('/dev/full')
  await expect(writer.write({ a: 1 })).rejects.toThrow(
    '/dev/full: cannot be written: disk full (ENOSPC). Free some space and run it again.',
  )
  await writer.close()
})
