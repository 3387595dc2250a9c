// The process is killed while users are saved: every confirmed item exists, and none is incomplete.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFileStore } from './file-store.ts'
import { openSqliteStore } from './sqlite-store.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-killed-'))
})
afterAll(() => rm(folder, { recursive: true }))

const users = 4
const sizeBytes = 60_000

/** A process that saves users one after the other and prints the number of each save. */
function startSaving(module: string, open: string, path: string) {
  const script = `
    import { ${open} as open } from ${JSON.stringify(new URL(module, import.meta.url).href)}
    import { writeSync } from 'node:fs'
    const store = await open(${JSON.stringify(path)})
    for (let i = 1; ; i++) {
      await store.put('user-' + i % ${users}, 'tiers', new Uint8Array(${sizeBytes}).fill(i % 251))
      writeSync(1, i + '\\n')
    }`
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Kills the process so many milliseconds after its tenth save; resolves with the last one. */
async function killWhileSaving(child: ReturnType<typeof startSaving>, ms: number): Promise<number> {
  let printed = ''
  await new Promise<void>((resolve) =>
    child.stdout.on('data', (chunk) => {
      printed += String(chunk)
      if (printed.split('\n').length > 10) resolve()
    }),
  )
  await new Promise((resolve) => setTimeout(resolve, ms))
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('close', resolve))
  return Number(printed.trimEnd().split('\n').at(-1))
}

describe.each([
  ['files', './file-store.ts', 'createFileStore', createFileStore],
  ['SQLite', './sqlite-store.ts', 'openSqliteStore', openSqliteStore],
] as const)('users in %s', (_, module, name, open) => {
  it.each([0, 3, 7])('are whole after SIGKILL, %i ms after the tenth save', async (ms) => {
    const path = join(folder, `${name}-${ms}`)
    const last = await killWhileSaving(startSaving(module, name, path), ms)
    const store = await open(path)
    const saved = await Promise.all(
      Array.from({ length: users }, async (_user, i) => (await store.get(`user-${i}`, 'tiers'))!),
    )
    for (const [user, { bytes }] of saved.entries()) {
      expect(bytes.length).toBe(sizeBytes)
      expect(new Set(bytes).size).toBe(1)
      // the last save of this user that was confirmed, or the one that was being made
      const confirmed = last - ((last - user) % users)
      expect([confirmed % 251, (confirmed + users) % 251]).toContain(bytes[0])
    }
    await store.put('user-0', 'tiers', new Uint8Array(1))
    await store.close()
  })
})
