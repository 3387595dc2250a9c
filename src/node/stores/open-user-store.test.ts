import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { doubleKeys, startS3Double } from '../../../test/support/s3-double.ts'
import { openUserStore } from './open-user-store.ts'

const scratch = mkdtempSync(join(tmpdir(), 'graft-places-'))
afterAll(() => rmSync(scratch, { recursive: true }))

describe('openUserStore', () => {
  it.each(['users.db', 'users.sqlite', 'users'])('keeps users in %s', async (name) => {
    const store = await openUserStore(join(scratch, name))
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    await store.close()
    const again = await openUserStore(join(scratch, name))
    expect((await again.get('ada', 'state'))?.version).toBe(version)
    await again.close()
  })
  it('knows addresses by their beginning', async () => {
    const double = await startS3Double()
    for (const [name, value] of Object.entries(doubleKeys)) vi.stubEnv(name, value)
    expect((await openUserStore(double.createAddress())).name).toMatch(/^s3:\/\/graft\//)
    vi.unstubAllEnvs()
    await double.stop()
    await expect(openUserStore('postgresql://127.0.0.1:1/x')).rejects.toThrow(
      'postgres://127.0.0.1:1/x: cannot be used: nothing listens there (ECONNREFUSED).',
    )
  })
})
