import { access, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { withLock } from './lock.ts'

let directory = ''
let path = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-lock-'))
  path = join(directory, 'deep', 'x.lock')
})
afterEach(() => rm(directory, { recursive: true }))

describe('a lock', () => {
  it('lets one at a time through, and is gone afterwards', async () => {
    let inside = 0
    let most = 0
    const work = async (): Promise<void> => {
      most = Math.max(most, ++inside)
      await sleep(20)
      inside--
    }
    await Promise.all([withLock(path, work), withLock(path, work), withLock(path, work)])
    expect(most).toBe(1)
    await expect(access(path)).rejects.toThrow('ENOENT')
  })

  it('is gone after a failure too', async () => {
    await expect(withLock(path, () => Promise.reject(new Error('failed')))).rejects.toThrow(
      'failed',
    )
    await expect(access(path)).rejects.toThrow('ENOENT')
  })

  it('is taken over from a process that is gone, and from one that crashed before it wrote its number', async () => {
    await withLock(path, async () => undefined)
    await writeFile(path, '99999999') // beyond the largest process number
    expect(await withLock(path, async () => 'over')).toBe('over')
    await writeFile(path, '')
    await utimes(path, 0, 0)
    expect(await withLock(path, async () => 'over')).toBe('over')
  })
})
