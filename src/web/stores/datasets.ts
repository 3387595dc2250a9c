// Data sets of examples by name, in a browser's IndexedDB.

import { NotFoundError } from '../../base/errors.ts'
import type { UserStore } from '../../learn/store/user-store.ts'
import type { AdapterDataset } from '../../train/datasets/adapter-dataset.ts'
import { encodeDataset, readDataset } from '../../train/datasets/dataset-files.ts'
import { openIndexedDbStore } from './indexed-db-store.ts'

const database = 'graft-datasets'
const item = 'examples'

async function withStore<Value>(
  store: UserStore | undefined,
  work: (store: UserStore) => Promise<Value>,
): Promise<Value> {
  if (store) return work(store)
  const own = await openIndexedDbStore(database)
  try {
    return await work(own)
  } finally {
    await own.close()
  }
}

/**
 * Stores a data set under a name, replacing an earlier one: in the database "graft-datasets" of
 * this site, or in the given store. Throws StorageError if the browser forbids it or its quota is
 * used up.
 */
export async function saveDataset(
  dataset: AdapterDataset,
  name: string,
  store?: UserStore,
): Promise<void> {
  const bytes = new Uint8Array(
    await new Blob([...encodeDataset(dataset)] as BlobPart[]).arrayBuffer(),
  )
  await withStore(store, async (open) => {
    const version = (await open.get(name, item))?.version
    await open.put(name, item, bytes, version)
  })
}

/** The data set that was stored under this name. Throws NotFoundError. */
export async function loadDataset(name: string, store?: UserStore): Promise<AdapterDataset> {
  const found = await withStore(store, (open) => open.get(name, item))
  if (!found) throw new NotFoundError(`There is no data set "${name}" in this browser.`)
  return readDataset(found.bytes, name)
}
