import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StorageError } from '../../base/errors.ts'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import { openSqliteStore } from './sqlite-store.ts'

const scratch = (): string => mkdtempSync(join(tmpdir(), 'graft-users-'))

describeUserStore('SQLite', () => {
  const directory = scratch()
  return {
    open: () => openSqliteStore(join(directory, 'users.sqlite')),
    remove: () => rmSync(directory, { recursive: true }),
  }
})

describe('a SQLite file of users', () => {
  let directory: string
  let path: string
  beforeEach(() => {
    directory = scratch()
    path = join(directory, 'users.sqlite')
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('reports that it is full, and keeps the version before', async () => {
    const store = await openSqliteStore(path, { limitBytes: 100_000 })
    const version = await store.put('ada', 'state', new Uint8Array(10_000))
    await expect(store.put('ada', 'state', new Uint8Array(200_000), version)).rejects.toThrow(
      StorageError,
    )
    await expect(store.put('bob', 'state', new Uint8Array(200_000))).rejects.toThrow(
      /users\.sqlite: cannot be written: disk full or the limit reached\./,
    )
    expect((await store.get('ada', 'state'))!.bytes).toHaveLength(10_000)
    expect(await store.put('ada', 'state', new Uint8Array(20_000), version)).toBe(version + 1)
    await store.close()
  })
  it('waits for another process that writes, without stopping this one, and reports it when it takes too long', async () => {
    const store = await openSqliteStore(path, { waitMs: 60 })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    let ticks = 0
    const timer = setInterval(() => void ticks++, 5)
    await expect(store.put('ada', 'state', Uint8Array.of(1))).rejects.toThrow(
      'cannot be written: another process keeps it locked.',
    )
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(2)
    expect(await store.get('ada', 'state')).toBeUndefined() // readers need not wait
    const patient = await openSqliteStore(path)
    const put = patient.put('ada', 'state', Uint8Array.of(2))
    setTimeout(() => other.exec('COMMIT'), 20)
    await put
    expect([...(await store.get('ada', 'state'))!.bytes]).toEqual([2])
    for (const handle of [store, patient]) await handle.close()
    other.close()
  })
  it('refuses a file of a newer layout or of another kind, unchanged', async () => {
    await (await openSqliteStore(path)).close()
    const database = new DatabaseSync(path)
    database.exec('PRAGMA user_version = 7')
    database.close()
    await expect(openSqliteStore(path)).rejects.toThrow(
      /is of layout 7, this version reads layout 1/,
    )
    const foreign = new DatabaseSync(join(directory, 'foreign'))
    foreign.exec('CREATE TABLE notes (x)')
    foreign.close()
    await expect(openSqliteStore(join(directory, 'foreign'))).rejects.toThrow('of another program')
    const text = join(directory, 'text')
    writeFileSync(text, 'not a database, but long enough to be looked at as one. '.repeat(40))
    await expect(openSqliteStore(text)).rejects.toThrow('it is not a SQLite file')
    await expect(openSqliteStore(join(directory, 'none', 'x'))).rejects.toThrow(StorageError)
  })
  it('refuses options that it does not have, and values out of range', async () => {
    await expect(openSqliteStore(path, { waitMS: 1 } as object)).rejects.toThrow(
      'SQLite store options: there is no option "waitMS". Did you mean "waitMs"?',
    )
    await expect(openSqliteStore(path, { waitMs: -1, limitBytes: 0 })).rejects.toThrow(
      'waitMs: got -1, expected a number from 0, or Infinity; limitBytes: got 0',
    )
  })
  it('rejects with StorageError after it was closed', async () => {
    const store = await openSqliteStore(path)
    await store.close()
    await store.close()
    await expect(store.get('ada', 'state')).rejects.toThrow(StorageError)
  })
})
