// The contract of every store of users' items. A backend's test passes a function that opens one.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConflictError, OptionError } from '../../base/errors.ts'
import { absentVersion, type UserStore } from './user-store.ts'

export interface StorePlace {
  /** Another handle on the same items, as another process or tab has it. */
  open(): Promise<UserStore> | UserStore
  /** Removes the place; all handles are closed by then. */
  remove(): Promise<void> | void
  /** What cannot be tested there, with the reason. */
  readonly skip?: { readonly megabytes?: string }
}

/** Names that a careless backend maps to a wrong path, to each other, or not at all. */
const oddUsers = [
  ...[
    '../../etc/passwd',
    '..',
    '.',
    '/',
    'a/b',
    'a\\b',
    'C:\\con',
    'con',
    '__proto__',
    'constructor',
    '-rf',
    '~',
    '%2e%2e',
    "'; DROP TABLE items",
  ],
  ...[
    'A',
    'a',
    'é',
    'e\u0301',
    '👩‍👩‍👧',
    'nul\0byte',
    'line\nbreak',
    ' ',
    'a:b',
    '*?<>|"',
    'ü'.repeat(128),
    'x'.repeat(256),
  ],
]
const refusedUsers = [
  '',
  'x'.repeat(257),
  'ü'.repeat(129),
  'x'.repeat(10_000_000),
  '\ud800',
  'a\udc00b',
]
const refusedItems = ['', '.hidden', '../up', 'a/b', 'Large', 'a b', 'x'.repeat(65), 'ä']

const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values)

/** Runs the suite; `makePlace` creates a new place for each test. */
export function describeUserStore(
  title: string,
  makePlace: () => Promise<StorePlace> | StorePlace,
): void {
  describe(`${title} as a store of users' items`, () => {
    let place: StorePlace
    let handles: UserStore[]
    let store: UserStore
    const open = async (): Promise<UserStore> => {
      const handle = await place.open()
      handles.push(handle)
      return handle
    }
    beforeEach(async () => {
      handles = []
      place = await makePlace()
      store = await open()
    })
    afterEach(async () => {
      for (const handle of handles) await handle.close()
      await place.remove()
    })

    it('gives back what was put, as a copy', async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
      const version = await store.put('ada', 'state', bytes)
      bytes.fill(0)
      const first = await store.get('ada', 'state')
      expect([...first!.bytes]).toEqual(Array.from({ length: 256 }, (_, i) => i))
      expect(first!.version).toBe(version)
      first!.bytes.fill(9)
      expect((await store.get('ada', 'state'))!.bytes[255]).toBe(255)
    })
    it('holds views into larger buffers, nothing at all, and megabytes', async ({ skip }) => {
      await store.put('ada', 'view', new Uint8Array([9, 1, 2, 9]).subarray(1, 3))
      await store.put('ada', 'empty', bytesOf())
      expect([...(await store.get('ada', 'view'))!.bytes]).toEqual([1, 2])
      expect((await store.get('ada', 'empty'))!.bytes).toHaveLength(0)
      if (place.skip?.megabytes) skip(place.skip.megabytes)
      const large = Uint8Array.from({ length: 3_000_001 }, (_, i) => (i * 7) ^ (i >> 8))
      await store.put('ada', 'large', large)
      const { bytes } = (await store.get('ada', 'large'))!
      expect(bytes.length === large.length && bytes.every((byte, i) => byte === large[i])).toBe(
        true,
      )
    })
    it('knows nothing of what was never put', async () => {
      expect(await store.get('nobody', 'state')).toBeUndefined()
      expect(await store.list('nobody')).toEqual([])
      expect(await store.users()).toEqual([])
      await store.delete('nobody', 'state')
      await store.forget('nobody')
      expect(await store.users()).toEqual([])
    })
    it('lists items by name with versions and sizes, and users', async () => {
      const b = await store.put('ada', 'b', bytesOf(1, 2, 3))
      const a = await store.put('ada', 'a-1.x', bytesOf())
      await store.put('bob', 'c', bytesOf(1))
      expect(await store.list('ada')).toEqual([
        { item: 'a-1.x', version: a, sizeBytes: 0 },
        { item: 'b', version: b, sizeBytes: 3 },
      ])
      expect((await store.users()).sort()).toEqual(['ada', 'bob'])
    })
    it('is seen by another handle at once', async () => {
      const other = await open()
      const version = await store.put('ada', 'state', bytesOf(1))
      expect(await other.get('ada', 'state')).toEqual({ bytes: bytesOf(1), version })
      await other.put('ada', 'state', bytesOf(2), version)
      expect([...(await store.get('ada', 'state'))!.bytes]).toEqual([2])
    })

    it('raises the version with every put, and takes only the one that was expected', async () => {
      const first = await store.put('ada', 'state', bytesOf(1), absentVersion)
      expect(first).toBeGreaterThan(0)
      const second = await store.put('ada', 'state', bytesOf(2), first)
      expect(second).toBeGreaterThan(first)
      for (const stale of [first, absentVersion, second + 1]) {
        const refused = store.put('ada', 'state', bytesOf(3), stale)
        await expect(refused).rejects.toThrow(ConflictError)
        await expect(refused).rejects.toThrow(/state of user "ada" is at version \d+, expected/)
      }
      await expect(store.put('ada', 'other', bytesOf(3), second)).rejects.toThrow(
        /is not there, expected it at version/,
      )
      expect(await store.get('ada', 'state')).toEqual({ bytes: bytesOf(2), version: second })
      expect(await store.put('ada', 'state', bytesOf(4))).toBeGreaterThan(second)
    })
    it('deletes one item, all of a user, and never the wrong version', async () => {
      const version = await store.put('ada', 'a', bytesOf(1))
      await store.put('ada', 'b', bytesOf(2))
      await store.put('bob', 'a', bytesOf(3))
      await expect(store.delete('ada', 'a', version + 1)).rejects.toThrow(ConflictError)
      await store.delete('ada', 'a', version)
      expect(await store.get('ada', 'a')).toBeUndefined()
      await expect(store.delete('ada', 'a', version)).rejects.toThrow(ConflictError)
      expect((await store.list('ada')).map(({ item }) => item)).toEqual(['b'])
      await store.forget('ada')
      expect(await store.list('ada')).toEqual([])
      expect(await store.users()).toEqual(['bob'])
    })
    it('never gives a version twice, so that a writer from before a deletion gets an error', async () => {
      const before = await store.put('ada', 'state', bytesOf(1))
      await store.forget('ada')
      expect(await store.put('ada', 'state', bytesOf(2), absentVersion)).not.toBe(before)
      await expect(store.put('ada', 'state', bytesOf(3), before)).rejects.toThrow(ConflictError)
    })
    it('loses nothing if two write the same user at once: one gets an error', async () => {
      const left = store
      const right = await open()
      const outcomes = await Promise.allSettled([
        left.put('ada', 'one', bytesOf(1), absentVersion),
        right.put('ada', 'one', bytesOf(2), absentVersion),
      ])
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      let told = 0
      const count = async (handle: UserStore, times: number): Promise<void> => {
        for (let done = 0; done < times;) {
          const found = await handle.get('ada', 'count')
          try {
            await handle.put(
              'ada',
              'count',
              bytesOf((found?.bytes[0] ?? 0) + 1),
              found?.version ?? absentVersion,
            )
            done++
          } catch (error) {
            if (!(error instanceof ConflictError)) throw error
            told++
          }
        }
      }
      await Promise.all([count(left, 10), count(right, 10), count(left, 10)])
      expect((await store.get('ada', 'count'))!.bytes[0]).toBe(30)
      expect(told).toBeGreaterThan(0)
    })

    it('keeps users apart whose names are path parts or look alike', async () => {
      for (const [i, user] of oddUsers.entries()) await store.put(user, 'state', bytesOf(i))
      for (const [i, user] of oddUsers.entries())
        expect([user, (await store.get(user, 'state'))!.bytes[0]]).toEqual([user, i])
      expect((await store.users()).sort()).toEqual([...oddUsers].sort())
    })
    it('refuses names that are empty, too long or no text, and leaves nothing behind', async () => {
      for (const user of refusedUsers) {
        const calls = [
          store.put(user, 'state', bytesOf(1)),
          store.get(user, 'state'),
          store.list(user),
          store.delete(user, 'state'),
          store.forget(user),
        ]
        for (const { status, reason } of (await Promise.allSettled(
          calls,
        )) as PromiseRejectedResult[]) {
          expect([status, reason instanceof OptionError]).toEqual(['rejected', true])
          expect(String(reason).length).toBeLessThan(400)
        }
      }
      for (const item of refusedItems)
        await expect(store.put('ada', item, bytesOf(1))).rejects.toThrow(OptionError)
      expect(await store.users()).toEqual([])
    })
  })
}
