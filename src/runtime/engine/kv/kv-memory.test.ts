// The memory against a naive model, compared after every event.

import { describe, expect, it } from 'vitest'
import { computeBlockKeys, computeTenantMark } from './block-keys.ts'
import { createKvMemory, type KvMemory, type KvRow } from './kv-memory.ts'
import { createIdentity, Simulation } from './simulation.testing.ts'
import { createEntries, createSavedBlocks, readRow, tinyShape as shape } from './testing.ts'

describe('random events', () => {
  it.each([
    { seed: 1, blocks: 64, maxRows: 8, events: 1000, element: 'f32' },
    { seed: 2, blocks: 400, maxRows: 16, events: 1000, element: 'f32' },
    { seed: 3, blocks: 20, maxRows: 3, events: 1000, element: 'f32' },
    { seed: 4, blocks: 100, maxRows: 40, events: 500, element: 'f32' },
    { seed: 5, blocks: 64, maxRows: 8, events: 500, element: 'f16' },
  ] as const)('leave what a plain list holds: %o', ({ seed, events, blocks, maxRows, element }) => {
    const simulation = new Simulation(seed, { blocks, maxRows, element })
    for (let i = 0; i < events && simulation.problems.length === 0; i++) {
      simulation.act()
      simulation.checkForm()
      const all = i % 16 === 0 ? simulation.known : [simulation.pick()].filter((item) => !!item)
      simulation.checkContents(all)
    }
    simulation.closeAll()
    expect(simulation.problems).toEqual([])
    const { used, cached, free } = simulation.memory.statistics.blocks
    expect([used, cached + free]).toEqual([0, blocks])
    expect(simulation.memory.banks).toEqual([])
  })
})

const author = { expert: 'e0', tenant: 't0' }
const createTokens = (count: number, start = 0): number[] =>
  Array.from({ length: count }, (_, i) => start + i)
const computeKeys = (tokens: readonly number[], expert = 'e0', tenant = 't0') =>
  computeBlockKeys(createIdentity(expert, tenant), tokens)

/** A row with these tokens. */
function openFilled(memory: KvMemory, tokens: readonly number[], group = 'shared'): KvRow {
  const row = memory.open(group, { keys: [], cached: 0, tokens: tokens.length })!
  memory.append([row], createEntries([{ tokens, who: author }], tokens.length), [tokens.length])
  return row
}

describe('blocks in the cache', () => {
  it('begin rows of the same expert and tenant, and no others', () => {
    const memory = createKvMemory({ shape, blocks: 50, maxRows: 4 })
    const tokens = createTokens(40)
    const row = openFilled(memory, tokens)
    memory.publish(row, computeKeys(tokens))
    expect(memory.countCached(computeKeys(tokens))).toBe(2)
    expect(memory.countCached(computeKeys([...tokens.slice(0, 16), 7, ...tokens.slice(17)]))).toBe(
      1,
    )
    expect(memory.countCached(computeKeys(tokens, 'e1'))).toBe(0)
    expect(memory.countCached(computeKeys(tokens, 'e0', 't1'))).toBe(0)
    const before = memory.statistics.blocks.used
    const other = memory.open('shared', { keys: computeKeys(tokens), cached: 2, tokens: 40 })!
    expect(other.length).toBe(32)
    expect(readRow(other, tokens.slice(0, 32), author)).toBeUndefined()
    expect(memory.statistics.blocks.used).toBe(before + 1) // two of three are shared
    expect([memory.statistics.hits, memory.statistics.misses]).toEqual([2, 0])
  })

  it('are never evicted while a row holds them; the end of a prefix goes first', () => {
    const memory = createKvMemory({ shape, blocks: 6, maxRows: 4 })
    const tokens = createTokens(64)
    const keys = computeKeys(tokens)
    const row = openFilled(memory, tokens)
    memory.publish(row, keys)
    expect(memory.open('shared', { keys: [], cached: 0, tokens: 48 })).toBeUndefined()
    expect(memory.countCached(keys)).toBe(4)
    memory.close(row)
    const other = openFilled(memory, createTokens(48, 100))
    expect(memory.countCached(keys)).toBe(3)
    expect(memory.statistics.evictions).toBe(1)
    memory.close(other)
  })

  it('of one prompt that two rows computed are kept once', () => {
    const memory = createKvMemory({ shape, blocks: 20, maxRows: 4 })
    const tokens = createTokens(32)
    const rows = [openFilled(memory, tokens), openFilled(memory, tokens)]
    for (const row of rows) memory.publish(row, computeKeys(tokens))
    expect(memory.statistics.blocks).toEqual({ capacity: 20, used: 2, cached: 0, free: 18 })
    for (const row of rows) memory.close(row)
    expect(memory.statistics.blocks).toEqual({ capacity: 20, used: 0, cached: 2, free: 18 })
  })

  it('do not come from a row that holds anything but numbers, nor does a later row read it', () => {
    const memory = createKvMemory({ shape, blocks: 20, maxRows: 4 })
    const row = memory.open('shared', { keys: [], cached: 0, tokens: 32 })!
    const entries = createEntries([{ tokens: [], who: author }], 32) // nothing but NaN
    memory.append([row], entries, [32])
    memory.publish(row, computeKeys(createTokens(32)))
    expect(memory.countCached(computeKeys(createTokens(32)))).toBe(0)
    memory.close(row)
    const next = openFilled(memory, [1])
    expect(readRow(next, [1], author)).toBeUndefined()
  })
})

describe('a row', () => {
  it('keeps everything as it was where reserve or open is refused', () => {
    const memory = createKvMemory({ shape, blocks: 4, maxRows: 2 })
    const row = openFilled(memory, createTokens(40))
    const blocks = { capacity: 4, used: 3, cached: 0, free: 1 }
    expect(memory.reserve(row, 25)).toBe(false)
    expect(memory.open('shared', { keys: [], cached: 0, tokens: 17 })).toBeUndefined()
    expect(memory.statistics.blocks).toEqual(blocks)
    expect([row.length, row.room, row.bank.capacity]).toEqual([40, 48, 64])
    expect(memory.reserve(row, 24)).toBe(true)
    expect(() => memory.append([row], createEntries([], 30), [30])).toThrow('room for 64')
    const other = createKvMemory({ shape, blocks: 40, maxRows: 1 })
    openFilled(other, [1])
    expect(other.open('shared', { keys: [], cached: 0, tokens: 1 })).toBeUndefined()
  })

  it('and its fork go different ways', () => {
    const memory = createKvMemory({ shape, blocks: 20, maxRows: 4 })
    const start = createTokens(40)
    const rows = [openFilled(memory, start)]
    rows.push(memory.fork(rows[0]!)!, memory.fork(rows[0]!)!)
    expect(memory.statistics.blocks.used).toBe(2 + 3) // two shared, a last one each
    const more = [createTokens(30, 100), createTokens(30, 200), createTokens(30, 300)]
    for (const row of rows) expect(memory.reserve(row, 30)).toBe(true)
    const entries = createEntries(
      more.map((tokens) => ({ tokens, who: author })),
      30,
    )
    memory.append(rows, entries, [30, 30, 30])
    rows.forEach((row, i) => expect(readRow(row, [...start, ...more[i]!], author)).toBeUndefined())
    for (const row of rows) memory.close(row)
    expect(memory.statistics.blocks.free).toBe(20)
    expect(() => memory.close(rows[0]!)).toThrow('internal: a row is used that is closed')
  })

  it('takes others along to a larger bank where a second call would cost more', () => {
    const memory = createKvMemory({ shape, blocks: 4000, maxRows: 16 })
    const rows = [1, 2, 3].map((i) => openFilled(memory, createTokens(60, i)))
    for (const row of rows) memory.markReady(row)
    memory.reserve(rows[1]!, 10)
    expect(memory.banks.map(({ capacity, readyCount }) => [capacity, readyCount])).toEqual([
      [128, 3],
    ])
    const long = openFilled(memory, createTokens(3000))
    memory.markReady(long)
    expect(memory.banks.map(({ capacity }) => capacity)).toEqual([128, 3072])
    memory.close(long)
    expect(memory.banks.map(({ capacity }) => capacity)).toEqual([128])
    rows.forEach((row, i) => expect(readRow(row, createTokens(60, i + 1), author)).toBeUndefined())
  })

  it('gives its memory back when its bank was empty for long', () => {
    const memory = createKvMemory({ shape, blocks: 4000, maxRows: 16 })
    const long = openFilled(memory, createTokens(3000))
    memory.close(long)
    const large = memory.statistics.rowBytes
    const row = openFilled(memory, [1])
    memory.reserve(row, 100)
    for (let i = 0; i < 70; i++)
      memory.append([row], createEntries([{ tokens: [i], who: author }], 1), [1])
    expect(large).toBeGreaterThan(100_000)
    expect(memory.statistics.rowBytes).toBeLessThan(large / 10)
  })

  it('of another group stands in another bank', () => {
    const memory = createKvMemory({ shape, blocks: 40, maxRows: 4 })
    openFilled(memory, [1])
    openFilled(memory, [1], 'attached')
    expect(memory.banks.map(({ group, rows }) => [group, rows.length])).toEqual([
      ['shared', 1],
      ['attached', 1],
    ])
  })
})

describe('saved prefixes', () => {
  const tokens = createTokens(70)
  const keys = computeKeys(tokens)

  it('begin rows of another memory, when a second row has begun with them', () => {
    const { blocks, saved } = createSavedBlocks()
    const first = createKvMemory({ shape, blocks: 20, maxRows: 4, saved })
    first.publish(openFilled(first, tokens), keys)
    expect(blocks.size).toBe(0)
    first.open('shared', { keys, cached: 3, tokens: 70 })
    expect([...blocks.keys()].toSorted()).toEqual(keys.slice(0, 3).toSorted())
    first.save(keys)
    expect(blocks.size).toBe(4)
    const second = createKvMemory({ shape, blocks: 20, maxRows: 4, saved })
    expect(second.countCached(keys)).toBe(4)
    const row = second.open('shared', { keys, cached: 4, tokens: 70 })!
    expect(row.length).toBe(64)
    expect(readRow(row, tokens.slice(0, 64), author)).toBeUndefined()
    blocks.clear()
    expect(second.countCached(keys)).toBe(4) // in memory now
  })

  it('of one tenant are forgotten, in memory and saved', async () => {
    const { blocks, saved } = createSavedBlocks()
    const memory = createKvMemory({ shape, blocks: 40, maxRows: 4, saved })
    const of = (tenant: string) => computeBlockKeys(createIdentity('e0', tenant), tokens)
    const rows = ['t0', 't1'].map((tenant) => {
      const row = openFilled(memory, tokens)
      memory.publish(row, of(tenant))
      memory.save(of(tenant))
      return row
    })
    await memory.forget(computeTenantMark('t0'))
    expect(['t0', 't1'].map((tenant) => memory.countCached(of(tenant)))).toEqual([0, 4])
    expect([...blocks.keys()].toSorted()).toEqual(of('t1').toSorted())
    for (const row of rows) memory.close(row)
    const { used, cached, free } = memory.statistics.blocks
    expect([used, cached, free]).toEqual([0, 4, 36])
  })

  it('are computed again from a damaged block on', () => {
    const { blocks, saved } = createSavedBlocks()
    const first = createKvMemory({ shape, blocks: 20, maxRows: 4, saved })
    first.publish(openFilled(first, tokens), keys)
    first.save(keys)
    blocks.set(keys[2]!, new Uint8Array(3))
    const second = createKvMemory({ shape, blocks: 5, maxRows: 4, saved })
    const row = second.open('shared', { keys, cached: 4, tokens: 70 })!
    expect(row.length).toBe(32)
    expect(second.statistics.blocks).toEqual({ capacity: 5, used: 5, cached: 0, free: 0 })
    second.close(row)
    expect(second.statistics.blocks).toEqual({ capacity: 5, used: 0, cached: 2, free: 3 })
  })
})
