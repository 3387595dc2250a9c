import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
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
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
    expect((await openUserStore('s3://graft/users')).name).toBe('s3://graft/users')
    vi.unstubAllEnvs()
    await expect(openUserStore('postgresql://127.0.0.1:1/x')).rejects.toThrow(
      'postgres://127.0.0.1:1/x: cannot be used: nothing listens there (ECONNREFUSED).',
    )
  })
})
