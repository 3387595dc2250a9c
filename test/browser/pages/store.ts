// The contract of stores of users' items on what a browser has, and what happens when its quota is
// used up.

import { describe, expect, it } from 'vitest'
import { StorageError } from '../../../src/base/errors.ts'
import { UserCheckpoints } from '../../../src/learn/store/checkpoints.ts'
import { describeUserStore } from '../../../src/learn/store/user-store.contract.ts'
import { nudge, createTestState } from '../../../src/learn/store/testing.ts'
import { SyntheticDataGenerator } from '../../../src/train/datasets/synthetic/synthetic-data-generator.ts'
import { loadDataset, saveDataset } from '../../../src/web/stores/datasets.ts'
import { openIndexedDbStore } from '../../../src/web/stores/indexed-db-store.ts'
import { createLocalStorageStore } from '../../../src/web/stores/local-storage-store.ts'
import { runAll } from './suite.ts'

let places = 0
const removeDatabase = (name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.addEventListener('success', () => resolve())
    request.addEventListener('error', () => reject(request.error))
  })

describeUserStore('IndexedDB', () => {
  const name = `contract-${places++}`
  return { open: () => openIndexedDbStore(name), remove: () => removeDatabase(name) }
})
describeUserStore('localStorage', () => {
  const prefix = `contract-${places++}`
  return { open: () => createLocalStorageStore(prefix), remove: () => localStorage.clear() }
})

describe('a data set by name', () => {
  it('is kept in IndexedDB', async () => {
    const dataset = new SyntheticDataGenerator(8, 1).generate('coder', 5)
    await saveDataset(dataset, 'mine')
    expect(await loadDataset('mine')).toEqual({ ...dataset, name: 'mine' })
    await removeDatabase('graft-datasets')
  })
})

describe('localStorage', () => {
  it('reports that its quota is used up, and keeps its contents', async () => {
    const store = createLocalStorageStore('quota')
    const version = await store.put('ada', 'state', Uint8Array.of(1, 2, 3))
    const large = store.put('ada', 'state', new Uint8Array(9_000_000), version)
    await expect(large).rejects.toThrow(StorageError)
    await expect(large).rejects.toThrow(
      'localStorage quota: cannot be written: the quota of this site is used up (QuotaExceededError).',
    )
    expect(await store.get('ada', 'state')).toEqual({ bytes: Uint8Array.of(1, 2, 3), version })
    localStorage.clear()
  })
  it('refuses an entry that was changed by other code, by its name', async () => {
    localStorage.setItem('quota/ada/state', 'hello')
    await expect(createLocalStorageStore('quota').get('ada', 'state')).rejects.toThrow(
      'the entry "quota/ada/state" is none of Graft\'s',
    )
    localStorage.clear()
  })
})

describe('checkpoints in a browser', () => {
  it('come back bit for bit from IndexedDB and localStorage, changes laid over them', async () => {
    for (const store of [
      await openIndexedDbStore('checkpoints'),
      createLocalStorageStore('checkpoints'),
    ]) {
      const checkpoints = new UserCheckpoints(store)
      const state = createTestState(1, 4096)
      await checkpoints.write('ada', state, 1)
      nudge(state, 'head.A')
      expect(await checkpoints.write('ada', state, 2)).toMatchObject({ sequence: 2, whole: false })
      expect((await new UserCheckpoints(store).open('ada'))!.state).toEqual(state)
      await store.close()
    }
    await removeDatabase('checkpoints')
    localStorage.clear()
  })
})

Object.assign(globalThis, { outcomes: runAll() })
