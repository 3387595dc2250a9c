import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { type KernelName, kernelNames } from '../../base/wasm.ts'
import { RowStore } from '../tiers/row-store.ts'
import { createLogitSummarizer } from '../tiers/logit-summary.ts'
import { type Arena, createArena } from './arena.ts'

const vectorKinds = kernelNames.filter((kind) => kind !== 'plain')
const { uniform, normal } = random(5)
const ownArena = (kind: KernelName): Arena => createArena([kind])

describe.each(vectorKinds)('products by %s', (kind) => {
  const width = 40 // no multiple of 16
  const fill = (stores: readonly RowStore[], from: number, to: number): void => {
    for (let at = from; at < to; at++) {
      const row = Int8Array.from(
        { length: stores[0]!.stride },
        () => Math.floor(uniform() * 255) - 127,
      )
      for (const store of stores) {
        store.row(at).set(row)
        store.markChanged(at)
      }
    }
  }
  const sumsOf = (store: RowStore, queries: Int16Array, count: number): Int32Array => {
    const sums = new Int32Array((queries.length / store.stride) * count)
    store.products(queries, count, sums)
    return sums
  }

  it('are the plain twin’s integers, for any number of queries, after growing and after changes', () => {
    const stores = [new RowStore(width, ownArena(kind)), new RowStore(width, ownArena('plain'))]
    const queries = Int16Array.from(
      { length: 7 * stores[0]!.stride },
      () => Math.floor(uniform() * 32767) - 16383,
    )
    for (const store of stores) store.grow(3)
    fill(stores, 0, 3)
    const [few, fewPlain] = stores.map((store) => sumsOf(store, queries, 3))
    expect(few).toEqual(fewPlain)
    for (const store of stores) store.grow(3000)
    fill(stores, 1, 3000)
    const [fast, plain] = stores.map((store) => sumsOf(store, queries, 3000))
    expect(fast).toEqual(plain)
    expect(new Set(fast).size).toBeGreaterThan(19_000)
    expect(fast!.slice(0, 1)).toEqual(few!.slice(0, 1))
    expect(fast!.slice(1, 2)).not.toEqual(few!.slice(1, 2))
  })
})

it('stores that share an arena do not see each other’s rows', () => {
  const one = new RowStore(16)
  const two = new RowStore(16)
  const query = new Int16Array(16).fill(1)
  const sums = new Int32Array(1)
  for (const [store, value] of [
    [one, 3],
    [two, 5],
  ] as const) {
    store.grow(1)
    store.row(0).fill(value)
    store.markChanged(0)
  }
  for (const [store, value] of [
    [one, 48],
    [two, 80],
    [one, 48],
  ] as const) {
    store.products(query, 1, sums)
    expect(sums[0]).toBe(value)
  }
  two.row(0).fill(7) // while the other one's rows are in the arena
  two.markChanged(0)
  two.products(query, 1, sums)
  expect(sums[0]).toBe(112)
})

describe.each(kernelNames)('a survey by %s', (kind) => {
  const survey = createLogitSummarizer(ownArena(kind))
  it.each([10, 64, 512, 5000])('of %i logits has their sum and the most likely tokens', (size) => {
    for (const spread of [0.1, 3, 40]) {
      const logits = Float32Array.from({ length: size }, () => spread * normal())
      const { total, largest, ids, logits: found, sample } = survey(logits, 20, Int32Array.of(3, 7))
      const top = Math.max(...logits)
      const sum = logits.reduce((whole, value) => whole + Math.exp(value - top), 0)
      expect(total).toBeCloseTo(top + Math.log(sum), 5)
      expect(largest).toBeCloseTo(1 / sum, 5)
      const wanted = [...logits.keys()]
        .toSorted((a, b) => logits[b]! - logits[a]!)
        .slice(0, Math.min(20, size))
      expect([...ids]).toEqual(wanted.toSorted((a, b) => a - b))
      expect([...found]).toEqual([...ids].map((id) => logits[id]))
      for (const [i, id] of [3, 7].entries())
        expect(sample[i]).toBeCloseTo(Math.exp(logits[id]! - total), 6)
    }
  })
  it('takes as many as were asked for where values are equal, and none where none are', () => {
    const equal = new Float32Array(300).fill(2)
    expect(survey(equal, 7, new Int32Array(0)).ids).toHaveLength(7)
    expect(survey(equal, 7, new Int32Array(0)).total).toBeCloseTo(2 + Math.log(300), 5)
    expect(survey(equal, 0, new Int32Array(0)).ids).toHaveLength(0)
  })
})
