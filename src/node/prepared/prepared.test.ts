// Prepared files: written once and atomically, found again, and rewritten if damaged.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { openPackedFiles } from './open-packed-files.ts'
import { listBySize } from './prepared-folder.ts'
import { createParts, createStore, partBytes } from './prepared.testing.ts'

const folders: string[] = []
let cache = ''
let store = ''
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'graft-packed-'))
  folders.push(cache)
  store = join(cache, 'weights.gguf')
})
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

interface Choice {
  readonly parts?: number
  readonly first?: number
  readonly path?: string
  readonly gigabytes?: string
}

/** Keeps parts as a process does that then ends; which were packed, and what their files hold. */
async function keep({ parts = 3, first, path = store, gigabytes }: Choice = {}) {
  const packed: number[] = []
  const files = await openPackedFiles({
    weights: await createStore(path, first),
    environment: { GRAFT_CACHE: cache, GRAFT_PREPARED_GB: gigabytes },
    leastBytes: 0,
  })
  const kept = await files?.keep(createParts(parts, (part) => packed.push(part)))
  const bytes = await Promise.all(
    [...(kept ?? [])].map(async ([, { folder, file, offsetBytes, sizeBytes }]) =>
      (await readFile(join(folder, file))).subarray(offsetBytes, offsetBytes + sizeBytes),
    ),
  )
  await files?.close()
  return {
    packed,
    isKept: kept !== undefined,
    bytes: bytes.map((one) => [one.length, ...new Set(one)]),
  }
}

const whole = [1, 2, 3].map((value) => [partBytes, value])
const list = () => listBySize(join(cache, 'prepared'))
const listNames = async () => (await readdir(join(cache, 'prepared'))).sort()

describe('a prepared file', () => {
  it('is packed once, one part after the other, and found by the next process', async () => {
    expect(await keep()).toEqual({ packed: [0, 1, 2], isKept: true, bytes: whole })
    expect(await keep()).toEqual({ packed: [], isKept: true, bytes: whole })
    expect((await listNames()).every((name) => name.endsWith('.packed'))).toBe(true)
  })
  it('is another for other weights, for a changed file and for other parts', async () => {
    await keep()
    expect((await keep({ first: 5 })).packed).toHaveLength(3)
    expect((await keep({ parts: 2 })).packed).toHaveLength(2)
    await utimes(store, 5, 5)
    expect((await keep()).packed).toHaveLength(3)
    expect(await list()).toHaveLength(4)
  })
  it('serves a program that reads a part of it', async () => {
    const files = await openPackedFiles({
      weights: await createStore(store),
      environment: { GRAFT_CACHE: cache },
      leastBytes: 0,
    })
    const all = await files!.keep(createParts(3))
    const packed: number[] = []
    const one = await files!.keep(createParts(3, (part) => packed.push(part)).slice(2))
    expect([...one!]).toEqual([...all!].slice(2))
    expect(packed).toEqual([])
    await files!.close()
  })
  const damages: readonly (readonly [string, (path: string, size: number) => Promise<void>])[] = [
    ['cut short', (path, size) => truncate(path, size - 100)],
    ['empty', (path) => truncate(path, 0)],
    ['of another kind', (path) => writeFile(path, 'not a prepared file, but longer than a footer')],
    ['wrong at the start of a tensor', (path) => overwrite(path, 10)],
    ['wrong at the end of a tensor', (path) => overwrite(path, partBytes - 10)],
    ['wrong in its index', (path, size) => overwrite(path, size - 60)],
    ['wrong in its footer', (path, size) => overwrite(path, size - 3)],
  ]
  it.each(damages)('that is %s is made anew', async (_, damage) => {
    await keep()
    const { path, sizeBytes } = (await list())[0]!
    await damage(path, sizeBytes)
    expect(await keep()).toEqual({ packed: [0, 1, 2], isKept: true, bytes: whole })
    expect((await keep()).packed).toEqual([])
  })
})

async function overwrite(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Uint8Array.of(0xee), 0, 1, at)
  await file.close()
}

describe('room', () => {
  const gigabytes = String((2.5 * 3 * partBytes) / 1e9)
  it('is bounded: what was not used for longest goes', async () => {
    const paths = ['a', 'b', 'c'].map((name) => join(cache, `${name}.gguf`))
    for (const path of paths.slice(0, 2)) await keep({ path, gigabytes })
    const [older] = await list()
    await utimes(older!.path, 1, 1)
    await keep({ path: paths[2]!, gigabytes })
    expect((await list()).map(({ path }) => path)).not.toContain(older!.path)
    expect(await list()).toHaveLength(2)
  })
  it('that is written removes no file in use', async () => {
    await keep({ gigabytes })
    const files = await openPackedFiles({
      weights: await createStore(store),
      environment: { GRAFT_CACHE: cache },
      leastBytes: 0,
    })
    const kept = await files!.keep(createParts(3))
    for (const name of ['b', 'c']) await keep({ path: join(cache, `${name}.gguf`), gigabytes })
    await keep({ path: join(cache, 'd.gguf'), gigabytes })
    const { folder, file } = kept!.get('w0.codes')!
    expect((await readFile(join(folder, file)))[0]).toBe(1)
    await files!.close()
    expect(await listNames()).toHaveLength(2)
  })
  it('that is too small, or none, leaves weights in memory', async () => {
    expect(await keep({ gigabytes: '0.000001' })).toMatchObject({ isKept: false, packed: [] })
    expect(await keep({ gigabytes: '0' })).toMatchObject({ isKept: false })
    await expect(keep({ gigabytes: 'many' })).rejects.toThrow(OptionError)
  })
  it('that cannot be written leaves weights in memory', async () => {
    await writeFile(join(cache, 'prepared'), 'a file in the way')
    expect(await keep()).toMatchObject({ isKept: false, packed: [] })
  })
})

const script = new URL('./writer.testing.ts', import.meta.url).pathname
const run = promisify(execFile)

describe('two processes', () => {
  it('make it at the same time, and either way it is whole', async () => {
    await createStore(store)
    const both = await Promise.all(
      [1, 2].map(() => run(process.execPath, [script, store, cache, '3', '50'])),
    )
    expect(both.map(({ stdout }) => stdout.endsWith('kept'))).toEqual([true, true])
    expect((await listNames()).map((name) => name.slice(32))).toEqual(['.packed'])
    expect(await keep()).toEqual({ packed: [], isKept: true, bytes: whole })
  }, 30_000)
  it('one of which is killed leave nothing that is half made', async () => {
    await createStore(store)
    const writer = spawn(process.execPath, [script, store, cache, '3', '400'])
    await new Promise((resolve) => writer.stdout.once('data', resolve)) // the first part is packed
    const ended = new Promise((resolve) => writer.once('exit', resolve))
    writer.kill('SIGKILL')
    await ended
    const left = await listNames()
    expect(left).toHaveLength(1)
    expect(left[0]).toMatch(/\.tmp$/)
    expect(await keep()).toEqual({ packed: [0, 1, 2], isKept: true, bytes: whole })
    expect((await listNames()).every((name) => name.endsWith('.packed'))).toBe(true)
  }, 30_000)
})
