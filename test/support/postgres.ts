// A Postgres server for tests, from what is installed on the machine (Debian's postgresql): its own
// folder, a socket there, no port.

import { execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface TestPostgres {
  /** An address whose tables are in a schema of their own. */
  createAddress(): string
  /** Runs statements, one a call, in the schema of an address. */
  run(address: string, sql: string): Promise<void>
  stop(): Promise<void>
}

/** Where initdb and postgres are; undefined where Postgres is not installed. */
export function findPostgres(): string | undefined {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root)
    ? readdirSync(root).toSorted((a, b) => Number(b) - Number(a))
    : []
  return versions
    .map((one) => join(root, one, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')))
}

/** Postgres does not run as root: then as the user that its package has made. */
function findOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const read = (flag: string): number => Number(execFileSync('id', [flag, 'postgres']).toString())
  return { uid: read('-u'), gid: read('-g') }
}

/** Starts a server on a new folder. */
export async function startPostgres(bin: string): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'graft-pg-'))
  const owner = findOwner()
  if (owner) chownSync(folder, owner.uid, owner.gid)
  const data = join(folder, 'data')
  const options = { ...owner, cwd: folder }
  execFileSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'graft', '-A', 'trust', '-E', 'UTF8', '--no-sync', '--no-locale'],
    { ...options, stdio: 'ignore' },
  )
  const server = spawn(
    join(bin, 'postgres'),
    ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off'],
    { ...options, stdio: 'ignore' },
  )
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  const base = `postgres:///postgres?user=graft&host=${encodeURIComponent(folder)}`
  const { Pool } = await import('pg')
  const ask = async (address: string, sql: string): Promise<void> => {
    const pool = new Pool({ connectionString: address })
    try {
      await pool.query(sql)
    } finally {
      await pool.end()
    }
  }
  for (let tries = 0; ; tries++) {
    const isUp = await ask(base, 'select 1').then(
      () => true,
      () => false,
    )
    if (isUp) break
    if (tries > 300) throw new Error('Postgres did not start within 30 s')
    await sleep(100)
  }
  let schemas = 0
  await ask(base, Array.from({ length: 60 }, (_, i) => `create schema s${i}`).join(';'))
  return {
    createAddress: () => `${base}&options=${encodeURIComponent(`-csearch_path=s${schemas++}`)}`,
    run: ask,
    async stop() {
      server.kill('SIGQUIT')
      await ended
      rmSync(folder, { recursive: true })
    },
  }
}
