import { expect, it } from 'vitest'
import { MemoryEntries } from './memory-entries.ts'

const width = 4
const state = (i: number): Float32Array => Float32Array.of(1, i, -i, 0.5)
const largest = (values: Float32Array): number => Math.max(...values.map(Math.abs))
const add = (entries: MemoryEntries, i: number): void => entries.add(state(i), largest(state(i)), i)

it('grow to the capacity, then replace the entry of the lowest usefulness', () => {
  const entries = new MemoryEntries(width, 300)
  for (let i = 0; i < 300; i++) add(entries, i)
  expect([entries.count, entries.allocated]).toEqual([300, 300])
  expect([...entries.tokens.subarray(254, 258)]).toEqual([254, 255, 256, 257]) // kept while growing
  entries.usefulness[17] = 0.5
  add(entries, 1000)
  expect([entries.count, entries.tokens[17], entries.usefulness[17]]).toEqual([300, 1000, 1])
})

it('are the same after they were saved and restored, with the lengths of their integers', () => {
  const entries = new MemoryEntries(width, 10)
  for (let i = 1; i < 4; i++) add(entries, i)
  const restored = new MemoryEntries(width, 10)
  restored.restore(entries.state())
  expect(restored.state()).toEqual(entries.state())
  expect(restored.scales.slice(0, 3)).toEqual(entries.scales.slice(0, 3))
  expect(entries.state().rows.subarray(0, width)).toEqual(Int8Array.of(127, 127, -127, 64))
})

it('go back to a snapshot that copies no row before it is replaced, as often as wanted', () => {
  const entries = new MemoryEntries(width, 40)
  for (let i = 1; i <= 40; i++) add(entries, i)
  const before = entries.state()
  const scales = entries.scales.slice()
  const snapshot = entries.takeSnapshot()
  expect(snapshot.replacedRows.size).toBe(0)
  for (const round of [1, 2]) {
    for (let i = 0; i < 7; i++) {
      entries.usefulness[3 * i] = 0.1
      add(entries, 100 * round + i)
    }
    expect(snapshot.replacedRows.size).toBe(7)
    expect(entries.state()).not.toEqual(before)
    entries.restoreSnapshot(snapshot)
    expect(entries.state()).toEqual(before)
    expect(entries.scales).toEqual(scales)
  }
  entries.count = 0 // emptied
  add(entries, 9)
  entries.restoreSnapshot(snapshot)
  expect(entries.state()).toEqual(before)
  entries.takeSnapshot()
  expect(() => entries.restoreSnapshot(snapshot)).toThrow(/later snapshot/)
})
