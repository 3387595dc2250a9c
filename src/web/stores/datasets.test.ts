// In Node, on a store in memory; on IndexedDB in test/browser/pages/store.ts.
import { describe, expect, it } from 'vitest'
import { NotFoundError } from '../../base/errors.ts'
import { createMemoryStore } from '../../learn/store/memory-store.ts'
import { SyntheticDataGenerator } from '../../train/datasets/synthetic/synthetic-data-generator.ts'
import { loadDataset, saveDataset } from './datasets.ts'

const generator = new SyntheticDataGenerator(8, 1)

describe('a data set by name', () => {
  it('comes back as it was, and replaces an earlier one', async () => {
    const store = createMemoryStore()
    for (const dataset of [generator.generate('coder', 5), generator.tasks('coder', 5)]) {
      await saveDataset(dataset, 'mine', store)
      expect(await loadDataset('mine', store)).toEqual({ ...dataset, name: 'mine' })
    }
  })
  it('that is not there is said so', async () => {
    await expect(loadDataset('gone', createMemoryStore())).rejects.toThrow(NotFoundError)
  })
})
