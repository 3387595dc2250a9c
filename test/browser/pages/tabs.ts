// One tab of two that write the same user: the test beside it opens this page twice.

import { ConflictError } from '../../../src/base/errors.ts'
import { absent, type UserStore } from '../../../src/learn/store/user-store.ts'
import { indexedDbStore } from '../../../src/web/stores/indexed-db-store.ts'
import { localStorageStore } from '../../../src/web/stores/local-storage-store.ts'

const stores: Readonly<Record<string, () => Promise<UserStore>>> = {
  IndexedDB: () => indexedDbStore('tabs'),
  localStorage: async () => localStorageStore('tabs'),
}

/**
 * Adds one to a shared count, so often; gives how often this tab was told that the other was
 * faster.
 */
async function count(place: string, times: number): Promise<number> {
  const store = await stores[place]!()
  let told = 0
  for (let done = 0; done < times;) {
    const found = await store.get('ada', 'count')
    const next = Number(new TextDecoder().decode(found?.bytes)) + 1
    try {
      await store.put(
        'ada',
        'count',
        new TextEncoder().encode(String(next)),
        found?.version ?? absent,
      )
      done++
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      told++
    }
  }
  return told
}

async function total(place: string): Promise<number> {
  const found = await (await stores[place]!()).get('ada', 'count')
  return Number(new TextDecoder().decode(found?.bytes))
}

Object.assign(globalThis, { count, total })
