// One tab of two that write the same user: the test beside it opens this page twice.

import { ConflictError } from '../../../src/base/errors.ts'
import { absentVersion, type UserStore } from '../../../src/learn/store/user-store.ts'
import { openIndexedDbStore } from '../../../src/web/stores/indexed-db-store.ts'
import { createLocalStorageStore } from '../../../src/web/stores/local-storage-store.ts'

const stores: Readonly<Record<string, () => Promise<UserStore>>> = {
  IndexedDB: () => openIndexedDbStore('tabs'),
  localStorage: async () => createLocalStorageStore('tabs'),
}

/** Ends when both tabs have called it. */
async function meetOtherTab(place: string): Promise<void> {
  const prefix = `meeting.${place}.`
  localStorage.setItem(prefix + crypto.randomUUID(), '')
  while (Object.keys(localStorage).filter((key) => key.startsWith(prefix)).length < 2)
    await new Promise((resolve) => setTimeout(resolve, 5))
}

/**
 * Adds one to a shared count, so often; returns how often this tab was told that the other was
 * faster. Both read before either writes for the first time, so that one of them must be.
 */
async function count(place: string, times: number): Promise<number> {
  const store = await stores[place]!()
  let told = 0
  for (let done = 0; done < times;) {
    const found = await store.get('ada', 'count')
    const next = Number(new TextDecoder().decode(found?.bytes)) + 1
    if (done === 0 && told === 0) await meetOtherTab(place)
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
