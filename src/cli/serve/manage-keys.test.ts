// graft serve keys and graft serve usage, as users call them.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openState } from '../../node/serve/state/open-state.ts'
import { hashApiKey } from '../../server/keys/api-key.ts'
import { commands } from '../command-table.ts'
import { runCli } from '../core/cli.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-keys-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function graft(...args: string[]) {
  const written = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => ((written[name] += text), true),
    isTTY: false,
    columns: 100,
  })
  const host = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    environment: { NO_COLOR: '1' },
    signal: new AbortController().signal,
    version: '0',
    graft: 'graft',
    now: () => 0,
  }
  const code = await runCli(['serve', ...args], host as never, commands)
  return Object.assign(written, { code })
}

describe('graft serve keys', () => {
  it('adds a key and shows it once; the folder holds its hash', async () => {
    const state = join(folder, 'a')
    const { code, stdout } = await graft('keys', 'add', 'ci', '--state', state)
    expect(code).toBe(0)
    const [text] = /graft_[\w-]{43}/.exec(stdout)!
    expect(stdout).toContain('"ci" may: infer, feedback.')
    const listed = await graft('keys', 'list', '--state', state)
    expect(listed.stdout).toContain(`ci  …${text.slice(-4)}  infer,feedback  no own limits`)
    expect(listed.stdout).not.toContain(text)
    const bytes = await readFile(join(state, 'server.db'), 'latin1')
    expect(bytes).toContain(hashApiKey(text))
    expect(bytes).not.toContain(text.slice(6))
  })
  it('takes scopes and limits, and gives JSON without the hash', async () => {
    const state = join(folder, 'b')
    const args = ['--scopes', 'infer,train', '--scopes', 'admin', '--requests-per-minute', '60']
    const { stdout } = await graft('keys', 'add', 'ci', '--state', state, ...args, '--json')
    expect(JSON.parse(stdout)).toEqual({
      key: expect.stringMatching(/^graft_/),
      name: 'ci',
      hint: expect.any(String),
      scopes: ['infer', 'train', 'admin'],
      limits: { requestsPerMinute: 60 },
      createdAt: expect.any(String),
    })
  })
  it('revokes a key', async () => {
    const state = join(folder, 'c')
    await graft('keys', 'add', 'ci', '--state', state)
    expect((await graft('keys', 'revoke', 'ci', '--state', state)).stdout).toContain('is revoked')
    expect((await graft('keys', 'list', '--state', state)).stdout).toContain('revoked 20')
  })
  it.each([
    [['keys'], 2, 'an argument is missing'],
    [['keys', 'ad', 'ci'], 2, 'Did you mean "add"?'],
    [['keys', 'add'], 2, 'needs the name of a key'],
    [['keys', 'list', 'ci'], 2, 'takes no name'],
    [['keys', 'add', 'ci', '--scopes', 'infr'], 2, 'Did you mean "infer"?'],
    [['keys', 'add', 'ci', '--scope', 'infer'], 2, 'Did you mean --scopes?'],
    [['keys', 'add', 'c i'], 1, 'a name of 1 to 64'],
    [['keys', 'revoke', 'nobody'], 1, 'There is no key "nobody"'],
    [['keys', 'add', 'ci', '--concurrent', '0'], 2, '--concurrent: got 0'],
    [['usage', '--from', 'today'], 2, '--from: got "today", expected a day'],
  ])('%j ends with %i: %s', async (args, expected, message) => {
    const { code, stderr } = await graft(...args, '--state', join(folder, 'd'))
    expect(stderr).toContain(message)
    expect(code).toBe(expected)
  })
  it('has its own help', async () => {
    const { stdout } = await graft('keys', '--help')
    expect(stdout).toContain('graft serve keys add <name> | list | revoke <name>')
    expect(stdout).toContain('--tokens-per-minute')
  })
})

describe('graft serve usage', () => {
  it('shows rows as a table, as CSV and as JSON', async () => {
    const path = join(folder, 'e')
    expect((await graft('usage', '--state', path)).stdout).toContain('There is no usage yet.')
    const state = await openState(path)
    const counts = { requests: 2, failed: 0, promptTokens: 1234, cachedTokens: 3 }
    const names = { day: '2026-11-30', key: 'ci', expert: 'coder', user: '' }
    await state.usage.add([Object.assign({ completionTokens: 5 }, counts, names)])
    await state.close()
    const table = (await graft('usage', '--state', path)).stdout
    expect(table).toMatch(/2026-11-30 +ci +coder +- +2 +0 +1,234 +3 +5/)
    const csv = (await graft('usage', '--state', path, '--csv', '--key', 'ci')).stdout
    expect(csv).toContain('2026-11-30,ci,coder,,2,0,1234,3,5')
    const json = (await graft('usage', '--state', path, '--json')).stdout
    expect(JSON.parse(json)[0].prompt_tokens).toBe(1234)
    expect((await graft('usage', '--state', path, '--to', '2026-11-29')).stdout).toContain(
      'no usage',
    )
  })
})
