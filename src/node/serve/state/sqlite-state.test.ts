// The state in SQLite: the contract, and what only a file can go through.

import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StorageError } from '../../../base/errors.ts'
import { KeyRing } from '../../../server/keys/key-ring.ts'
import { createUsageRow, serverStateContract } from '../../../server/state/server-state.contract.ts'
import { UsageLedger } from '../../../server/usage/usage-ledger.ts'
import { getStateDirectory, openState } from './open-state.ts'
import { openSqliteState } from './sqlite-state.ts'

let folder: string
let count = 0
const nextPath = (): string => join(folder, `state-${count++}`)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-state-'))
})
afterAll(() => rm(folder, { recursive: true }))

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))

describe('a state in SQLite', () => {
  serverStateContract(() => openSqliteState(nextPath()))

  it('is there after it was closed', async () => {
    const path = nextPath()
    const before = await openState(path)
    const ring = new KeyRing({ store: before.keys, random, now: () => 0 })
    const { text } = await ring.add({ name: 'ci' })
    await before.usage.add([createUsageRow()])
    await before.close()
    const after = await openState(path)
    const again = new KeyRing({ store: after.keys, random, now: () => 0 })
    expect((await again.find(text))?.name).toBe('ci')
    expect(await after.usage.list()).toEqual([createUsageRow()])
    await after.close()
  })
  it('is in a folder for its owner only, and holds no key', async () => {
    const path = nextPath()
    const state = await openState(path)
    const { text } = await new KeyRing({ store: state.keys, random, now: () => 0 }).add({
      name: 'ci',
    })
    await state.close()
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    const bytes = await readFile(join(path, 'server.db'), 'latin1')
    expect(bytes).not.toContain(text)
    expect(bytes).not.toContain(text.slice(6, 20))
  })
  it('shows at once what another process changed', async () => {
    const path = nextPath()
    const [server, command] = [await openSqliteState(path), await openSqliteState(path)]
    const serving = new KeyRing({ store: server.keys, random, now: () => 0 })
    const managing = new KeyRing({ store: command.keys, random, now: () => 0 })
    expect(await serving.hasKeys()).toBe(false)
    const { text } = await managing.add({ name: 'ci' })
    expect((await serving.find(text))?.name).toBe('ci')
    await managing.revoke('ci')
    expect(await serving.find(text)).toBeUndefined()
    await server.close()
    await command.close()
  })
  it('has no byte of a forgotten user', async () => {
    const path = nextPath()
    const state = await openState(path)
    await state.usage.add([
      createUsageRow({ user: 'ada.lovelace' }),
      createUsageRow({ user: 'tom' }),
    ])
    await state.usage.forgetUser('ada.lovelace')
    const files = ['server.db', 'server.db-wal']
    for (const name of files)
      expect(await readFile(join(path, name), 'latin1')).not.toContain('lovelace')
    await state.close()
  })
  it('is refused where the file is not a SQLite file or of another program', async () => {
    const path = nextPath()
    await writeFile(path, 'not a database, but long enough to be looked at as one'.repeat(20))
    await expect(openSqliteState(path)).rejects.toThrow(StorageError)
    const other = nextPath()
    const database = new DatabaseSync(other)
    database.exec('CREATE TABLE notes (text)')
    database.close()
    await expect(openSqliteState(other)).rejects.toThrow('of another program')
  })
  it('keeps usage rows in memory while the disk is full, and writes them later', async () => {
    const path = nextPath()
    const state = await openSqliteState(path)
    const failures: unknown[] = []
    const usage = {
      add: async (rows: Parameters<typeof state.usage.add>[0]) => {
        if (isFull) throw new StorageError('disk full')
        await state.usage.add(rows)
      },
      list: state.usage.list,
      forgetUser: state.usage.forgetUser,
    }
    let isFull = true
    const ledger = new UsageLedger({ store: usage, onFailure: (error) => failures.push(error) })
    for (let i = 0; i < 50; i++) {
      ledger.add(createUsageRow())
      await ledger.flush()
    }
    expect(failures).toHaveLength(1)
    isFull = false
    ledger.add(createUsageRow())
    await ledger.flush()
    expect((await state.usage.list())[0]!.requests).toBe(51)
    await state.close()
  })
})

describe('a process that is killed while it writes', () => {
  it('leaves whole rows: every count of a row belongs to the same number of requests', async () => {
    const path = nextPath()
    const module = new URL('./sqlite-state.ts', import.meta.url).href
    const script = `
      import { openSqliteState } from ${JSON.stringify(module)}
      const state = await openSqliteState(${JSON.stringify(path)})
      for (let i = 0; ; i++) {
        await state.usage.add(['a', 'b'].map((user) => ({ day: '2026-11-30', key: '', expert: '', user,
          requests: 1, failed: 0, promptTokens: 7, cachedTokens: 0, completionTokens: 3 })))
        await state.experts.put('base', { name: 'e' + i % 3, path: 'p' + i, pinned: false, loadedAt: '' })
        if (i === 20) console.log('running')
      }`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    const state = await openSqliteState(path)
    const rows = await state.usage.list()
    expect(rows).toHaveLength(2)
    expect(rows[0]!.requests).toBe(rows[1]!.requests)
    expect(rows[0]!.requests).toBeGreaterThan(20)
    for (const { requests, promptTokens, completionTokens } of rows)
      expect([promptTokens, completionTokens]).toEqual([requests * 7, requests * 3])
    const experts = (await state.experts.list('base')).map(({ name }) => name)
    expect(experts).toEqual(['e0', 'e1', 'e2'])
    await state.close()
  })
})

describe('the folder of a state', () => {
  it.each([
    [{ GRAFT_STATE: '/a', XDG_STATE_HOME: '/b' }, '/a'],
    [{ XDG_STATE_HOME: '/b' }, '/b/graft'],
  ])('of %o is %s', (environment, expected) =>
    expect(getStateDirectory(environment)).toBe(expected),
  )
})
