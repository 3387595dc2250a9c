import { expect, it } from 'vitest'
import { isSaved, PoolEntries, type PoolEntry } from './pool-entries.ts'

const createEntry = (sizeBytes: number): PoolEntry<string> => ({
  loaded: 'state',
  pins: 0,
  sizeBytes,
  changes: 0,
  savedChanges: 0,
  form: undefined,
})

it('are in the order of use, and their bytes add up', () => {
  const entries = new PoolEntries<string>()
  const ada = createEntry(10)
  const eve = createEntry(5)
  entries.usedBytes = 15
  entries.touch('ada', ada)
  entries.touch('eve', eve)
  entries.touch('ada', ada)
  expect(entries.users).toEqual(['eve', 'ada'])
  entries.resize(eve, 8)
  expect([entries.usedBytes, eve.sizeBytes]).toEqual([18, 8])
  expect(entries.remove('ada', createEntry(10))).toBe(false)
  expect(entries.remove('ada', ada)).toBe(true)
  expect([entries.users, entries.usedBytes]).toEqual([['eve'], 8])
  expect(isSaved(eve)).toBe(true)
  eve.changes++
  expect(isSaved(eve)).toBe(false)
})
