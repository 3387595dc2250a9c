// One tab of two that write the same user: the test beside it opens this page twice.

import { ConflictError } from '../../../src/base/errors.ts'
import { absentVersion, type UserStore } from '../../../src/learn/store/user-store.ts'
import { openIndexedDbStore } from '../../../src/web/stores/indexed-db-store.ts'
import { createLocalStorageStore } from '../../../src/web/stores/local-storage-store.ts'

const stores: Readonly<Record<string, () => Promise<UserStore>>> = {
  IndexedDB: () => openIndexedDbStore('tabs'),
  localStorage: async () => createLocalStorageStore('tabs'),
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
        found?.version ?? absentVersion,
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
