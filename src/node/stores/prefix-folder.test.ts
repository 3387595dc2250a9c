import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { openPrefixFolder } from './prefix-folder.ts'

const toKey = (name: string): string => computeSha256Sync(new TextEncoder().encode(name))
const toBlock = (fill: number, length = 1000): Uint8Array => new Uint8Array(length).fill(fill)

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'graft-prefixes-')), 'made')
})
afterEach(async () => {
  await rm(join(folder, '..'), { recursive: true, force: true })
})

const open = (maxBytes = 1e6) => openPrefixFolder(folder, { maxBytes })

describe('a folder of saved prefixes', () => {
  it('has its blocks after a restart', async () => {
    const first = await open()
    first.save(toKey('a'), () => toBlock(1))
    first.save(toKey('b'), () => undefined) // evicted before its turn
    await first.flush()
    const second = await open()
    expect(second.has(toKey('a'))).toBe(true)
    expect(second.read(toKey('a'))).toEqual(Buffer.from(toBlock(1)))
    expect(second.has(toKey('b'))).toBe(false)
    expect(second.read(toKey('b'))).toBeUndefined()
    expect(await readdir(folder)).toEqual([`${toKey('a')}.kv`])
  })

  it('forgets the blocks of one tenant, also those that wait', async () => {
    const first = await open()
    const mark = '0123456789abcdef-'
    for (const name of ['a', 'b']) first.save(mark + toKey(name), () => toBlock(1))
    first.save(toKey('a'), () => toBlock(2))
    await first.flush()
    first.save(mark + toKey('c'), () => toBlock(3))
    await first.forget(mark)
    expect(await readdir(folder)).toEqual([`${toKey('a')}.kv`])
    expect([first.count, first.has(mark + toKey('a'))]).toEqual([1, false])
  })

  it('stays below its bound, across restarts; the longest unused go', async () => {
    const first = await open(3200)
    for (const name of ['a', 'b', 'c']) first.save(toKey(name), () => toBlock(1))
    await first.flush()
    expect(first.count).toBe(3)
    first.touch([toKey('a')])
    first.save(toKey('d'), () => toBlock(2))
    await first.flush()
    expect(['a', 'b', 'c', 'd'].map((name) => first.has(toKey(name)))).toEqual([
      true,
      false,
      true,
      true,
    ])
    expect(first.sizeBytes).toBeLessThanOrEqual(3200)
    first.save(toKey('large'), () => toBlock(3, 5000))
    await first.flush()
    expect(first.has(toKey('large'))).toBe(false)
    expect(first.count).toBe(3)
    const smaller = await open(1100)
    expect(smaller.count).toBe(1)
    expect(await readdir(folder)).toHaveLength(1)
  })

  it('keeps the beginning of a prefix longer than its end', async () => {
    const first = await open()
    const keys = ['0', '1', '2'].map(toKey)
    for (const key of keys) first.save(key, () => toBlock(1))
    await first.flush()
    first.touch(keys)
    await new Promise((done) => setTimeout(done, 20)) // times of files are set behind the call
    const smaller = await open(2100)
    expect(keys.map((key) => smaller.has(key))).toEqual([true, true, false])
  })

  it('takes a damaged file for a miss and removes it', async () => {
    const first = await open()
    for (const name of ['flipped', 'cut', 'empty', 'gone'])
      first.save(toKey(name), () => toBlock(7))
    await first.flush()
    const pathOf = (name: string): string => join(folder, `${toKey(name)}.kv`)
    const bytes = await readFile(pathOf('flipped'))
    bytes[500]! ^= 1
    await writeFile(pathOf('flipped'), bytes)
    await truncate(pathOf('cut'), 700)
    await truncate(pathOf('empty'), 0)
    await rm(pathOf('gone'))
    for (const name of ['flipped', 'cut', 'empty', 'gone']) {
      expect(first.read(toKey(name)), name).toBeUndefined()
      expect(first.has(toKey(name)), name).toBe(false)
    }
    expect(await readdir(folder)).toEqual([])
    expect(first.sizeBytes).toBe(0)
  })

  it('reports a write that fails, and continues', async () => {
    const problems: string[] = []
    const opened = await openPrefixFolder(folder, {
      maxBytes: 1e6,
      onProblem: ({ message }) => problems.push(message),
    })
    await rm(folder, { recursive: true })
    opened.save(toKey('a'), () => toBlock(1))
    await opened.flush()
    expect(opened.has(toKey('a'))).toBe(false)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(folder)
  })

  it('refuses a key that is no hash, and a misspelt option', async () => {
    const opened = await open()
    opened.save('../a', () => toBlock(1))
    await opened.flush()
    expect(opened.count).toBe(0)
    // @ts-expect-error a wrong name from plain JavaScript
    await expect(openPrefixFolder(folder, { maxByte: 1 })).rejects.toThrow('"maxBytes"')
  })
})

describe('a process that is killed while it saves', () => {
  it('leaves whole blocks, 20 times', { timeout: 240_000 }, async () => {
    const module = fileURLToPath(new URL('./prefix-folder.ts', import.meta.url))
    const script = `
      const { openPrefixFolder } = await import(${JSON.stringify(module)})
      const folder = await openPrefixFolder(${JSON.stringify(folder)}, { maxBytes: 4e7 })
      let next = folder.count
      console.log('open')
      for (;;) {
        const fill = next++ % 256
        const key = next.toString(16).padStart(64, '0')
        folder.save(key, () => new Uint8Array(700_000).fill(fill))
        await folder.flush()
      }`
    let read = 0
    for (let run = 0; run < 20; run++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      await once(child.stdout, 'data')
      await new Promise((done) => setTimeout(done, 2 + 3 * run))
      child.kill('SIGKILL')
      await once(child, 'exit')
      const opened = await openPrefixFolder(folder, { maxBytes: 4e7 })
      const names = await readdir(folder)
      expect(names.filter((name) => !name.endsWith('.kv'))).toEqual([])
      for (const name of names) {
        const bytes = opened.read(name.slice(0, -3))
        expect(bytes?.length, name).toBe(700_000)
        read++
      }
    }
    expect(read).toBeGreaterThan(20)
  })
})
