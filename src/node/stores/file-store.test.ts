import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StorageError } from '../../base/errors.ts'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import { createFileStore } from './file-store.ts'

const scratch = (): string => mkdtempSync(join(tmpdir(), 'graft-users-'))

describeUserStore('a directory', () => {
  const directory = scratch()
  return {
    open: () => createFileStore(join(directory, 'users')),
    remove: () => rmSync(directory, { recursive: true }),
  }
})

describe('a directory of users', () => {
  let directory: string
  beforeEach(() => void (directory = scratch()))
  afterEach(() => rmSync(directory, { recursive: true }))
  const files = (): string[] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .sort()

  it('holds nothing but the newest version and the name, all of it inside', async () => {
    const store = createFileStore(directory)
    await store.put('../../x', 'state', Uint8Array.of(1))
    const version = await store.put('../../x', 'state', Uint8Array.of(2))
    expect(files()).toEqual(['name', `state@${version}`])
    await store.forget('../../x')
    expect(files()).toEqual([])
  })
  it('reports that the disk is full, keeps the version before, and leaves no piece of the new one', async () => {
    const version = await createFileStore(directory).put('ada', 'state', Uint8Array.of(1, 2, 3))
    let fail = true
    const full = createFileStore(directory, async (path) => {
      const file = await open(path, 'w')
      const write: typeof file.write = (async (...args: Parameters<typeof file.write>) => {
        if (fail) throw Object.assign(new Error('write'), { code: 'ENOSPC' })
        return file.write(...args)
      }) as typeof file.write
      return {
        write: (bytes, offset, length) => write(bytes, offset, length),
        sync: () => file.sync(),
        close: () => file.close(),
      }
    })
    await expect(full.put('ada', 'state', new Uint8Array(9), version)).rejects.toThrow(StorageError)
    await expect(full.put('ada', 'state', new Uint8Array(9), version)).rejects.toThrow(
      /disk full \(ENOSPC\)/,
    )
    expect(await full.get('ada', 'state')).toEqual({ bytes: Uint8Array.of(1, 2, 3), version })
    expect(files()).toEqual(['name', `state@${version}`])
    fail = false
    await full.put('ada', 'state', new Uint8Array(9), version)
    expect((await full.get('ada', 'state'))!.bytes).toHaveLength(9)
  })
  it('continues where a killed process left a lock, half a file, and two versions', async () => {
    const store = createFileStore(directory)
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    const [prefix] = readdirSync(directory)
    const [hash] = readdirSync(join(directory, prefix!)).filter((name) => !name.includes('.'))
    const folder = join(directory, prefix!, hash!)
    writeFileSync(`${folder}.lock`, '2147483646') // no process has this number
    writeFileSync(join(folder, `state@${version + 1}.pending`), 'half')
    writeFileSync(join(folder, `state@${version - 1}`), 'older')
    expect([...(await store.get('ada', 'state'))!.bytes]).toEqual([1])
    expect(await store.put('ada', 'state', Uint8Array.of(2), version)).toBe(version + 1)
    expect(files()).toEqual(['name', `state@${version + 1}`])
  })
  it('reports it where it cannot write at all', async () => {
    writeFileSync(join(directory, 'file'), '')
    const put = createFileStore(join(directory, 'file')).put('ada', 'state', Uint8Array.of(1))
    await expect(put).rejects.toThrow(StorageError)
  })
})
