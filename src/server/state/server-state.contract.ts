// What every ServerState must do; a test calls it with a function that opens one.

import { describe, expect, it } from 'vitest'
import { createApiKey } from '../keys/api-key.ts'
import type { UsageRow } from '../usage/usage-row.ts'
import type { ServerState } from './server-state.ts'

const createRecord = (name: string) =>
  createApiKey({ name, requestsPerMinute: 3 }, new Uint8Array(32), '2026-11-30T10:00:00.000Z')
    .record

export const createUsageRow = (given: Partial<UsageRow> = {}): UsageRow =>
  Object.assign(
    {
      day: '2026-11-30',
      key: 'ci',
      expert: 'coder',
      user: 'ada',
      requests: 1,
      failed: 0,
      promptTokens: 10,
      cachedTokens: 4,
      completionTokens: 5,
    },
    given,
  )

export function serverStateContract(open: () => Promise<ServerState>): void {
  describe('keys', () => {
    it('come back as they were added, in order, with what was revoked', async () => {
      const { keys, close } = await open()
      expect(await keys.list()).toEqual([])
      expect(await keys.add(createRecord('ci'))).toBe(true)
      expect(await keys.add(createRecord('app'))).toBe(true)
      expect(await keys.list()).toEqual([createRecord('ci'), createRecord('app')])
      expect(await keys.revoke('ci', '2026-12-01T00:00:00.000Z')).toBe(true)
      const [first] = await keys.list()
      expect(first!.revokedAt).toBe('2026-12-01T00:00:00.000Z')
      await close()
    })
    it('of one name are there once, and unknown ones are not revoked', async () => {
      const { keys, close } = await open()
      await keys.add(createRecord('ci'))
      expect(await keys.add(createRecord('ci'))).toBe(false)
      expect(await keys.revoke('nobody', '2026-12-01T00:00:00.000Z')).toBe(false)
      expect(await keys.list()).toHaveLength(1)
      await close()
    })
    it('have another version after every change, and the same without one', async () => {
      const { keys, close } = await open()
      const versions = [await keys.readVersion()]
      await keys.add(createRecord('ci'))
      versions.push(await keys.readVersion())
      await keys.revoke('ci', '2026-12-01T00:00:00.000Z')
      versions.push(await keys.readVersion())
      expect(new Set(versions).size).toBe(3)
      expect(await keys.readVersion()).toBe(versions[2])
      await close()
    })
  })
  describe('usage', () => {
    it('adds up by day, key, expert and user', async () => {
      const { usage, close } = await open()
      await usage.add([createUsageRow(), createUsageRow({ failed: 1 })])
      await usage.add([createUsageRow({ promptTokens: 1 }), createUsageRow({ user: 'tom' })])
      expect(await usage.list()).toEqual([
        createUsageRow({
          requests: 3,
          failed: 1,
          promptTokens: 21,
          cachedTokens: 12,
          completionTokens: 15,
        }),
        createUsageRow({ user: 'tom' }),
      ])
      await close()
    })
    it('is listed by days and key, in order', async () => {
      const { usage, close } = await open()
      const days = ['2026-12-02', '2026-11-30', '2026-12-01']
      await usage.add(days.map((day) => createUsageRow({ day })))
      await usage.add([createUsageRow({ key: 'app', day: '2026-12-01' })])
      const list = async (filter: object) =>
        (await usage.list(filter)).map(({ day, key }) => `${day} ${key}`)
      expect(await list({})).toEqual([
        '2026-11-30 ci',
        '2026-12-01 app',
        '2026-12-01 ci',
        '2026-12-02 ci',
      ])
      expect(await list({ from: '2026-12-01', to: '2026-12-01' })).toHaveLength(2)
      expect(await list({ key: 'app' })).toEqual(['2026-12-01 app'])
      await close()
    })
    it('removes the name of a user and keeps the counts', async () => {
      const { usage, close } = await open()
      await usage.add([
        createUsageRow(),
        createUsageRow({ user: '', promptTokens: 1 }),
        createUsageRow({ user: 'tom' }),
      ])
      await usage.forgetUser('ada')
      const rows = await usage.list()
      expect(rows.map(({ user, promptTokens }) => [user, promptTokens])).toEqual([
        ['', 11],
        ['tom', 10],
      ])
      await close()
    })
  })
  describe('experts', () => {
    const record = { name: 'coder', path: 'coder', pinned: false, loadedAt: '2026-11-30T10:00:00Z' }
    it('come back by base, in order; the same name replaces', async () => {
      const { experts, close } = await open()
      const other = Object.assign({}, record, { name: 'poet' })
      const pinned = Object.assign({}, record, { pinned: true, path: 'coder-2' })
      await experts.put('base-a', record)
      await experts.put('base-a', other)
      await experts.put('base-b', record)
      await experts.put('base-a', pinned)
      expect(await experts.list('base-a')).toEqual([pinned, other])
      await experts.delete('base-a', 'coder')
      expect(await experts.list('base-a')).toEqual([other])
      expect(await experts.list('base-b')).toEqual([record])
      expect(await experts.list('base-c')).toEqual([])
      await close()
    })
  })
}
