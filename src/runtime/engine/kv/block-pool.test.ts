// The pool of ids against a naive model: lists of holders, and a list in order of last use.

import { describe, expect, it } from 'vitest'
import { random } from '../../../base/random.ts'
import { BlockPool } from './block-pool.ts'

describe('a pool of blocks', () => {
  it.each([1, 2, 3])('does what plain lists do, over 5,000 random events: seed %i', (seed) => {
    const dice = random(seed)
    const capacity = 12
    const evicted: number[] = []
    const expectedEvictions: number[] = []
    const pool = new BlockPool(capacity, (id) => evicted.push(id))
    const holders = new Map<number, number>()
    const keys = new Map<string, number>()
    let idle: number[] = []
    const keyOf = (id: number): string | undefined => [...keys].find(([, of]) => of === id)?.[0]

    const allocate = (): void => {
      const isFull = holders.size === capacity
      const evicts = holders.size + idle.length === capacity && !isFull
      const id = pool.allocate()
      expect(id === undefined).toBe(isFull)
      if (id === undefined) return
      expect(holders.has(id)).toBe(false)
      expect(idle.indexOf(id)).toBe(evicts ? 0 : -1)
      if (evicts) {
        expectedEvictions.push(id)
        idle.shift()
        keys.delete(keyOf(id)!)
      }
      holders.set(id, 1)
    }
    const find = (): void => {
      const key = `key ${dice.integer(20)}`
      const id = pool.find(key)
      expect(id).toBe(keys.get(key))
      if (id === undefined) return
      pool.retain(id)
      idle = idle.filter((other) => other !== id)
      holders.set(id, (holders.get(id) ?? 0) + 1)
    }
    const release = (id: number): void => {
      pool.release(id)
      const left = holders.get(id)! - 1
      if (left > 0) return void holders.set(id, left)
      holders.delete(id)
      if (keyOf(id) !== undefined) idle.push(id)
    }
    const seal = (id: number): void => {
      if (keyOf(id) !== undefined) return
      const key = `key ${dice.integer(20)}`
      expect(pool.seal(id, key)).toBe(!keys.has(key))
      if (!keys.has(key)) keys.set(key, id)
    }

    for (let i = 0; i < 5000; i++) {
      const event = dice.integer(5)
      const id = [...holders.keys()][dice.integer(holders.size)]
      if (event === 0 || id === undefined) allocate()
      else if (event === 1) find()
      else if (event === 2) seal(id)
      else release(id)
      expect([pool.used, pool.cached, pool.free]).toEqual([
        holders.size,
        idle.length,
        capacity - holders.size - idle.length,
      ])
      for (const [held, count] of holders) expect(pool.countHolders(held)).toBe(count)
    }
    expect(evicted).toEqual(expectedEvictions)
    expect(pool.evictions).toBe(evicted.length)
    expect(evicted.length).toBeGreaterThan(20)
  })

  it('refuses what would lose count', () => {
    const pool = new BlockPool(2)
    const id = pool.allocate()!
    pool.release(id)
    expect(() => pool.release(id)).toThrow('internal: block 0 is released, but nothing uses it')
    expect(() => pool.retain(id)).toThrow('internal: block 0 is retained, but it is free')
    expect(() => pool.seal(id, 'key')).toThrow('internal: block 0 is sealed, but nothing uses it')
    expect(() => pool.countHolders(2)).toThrow('internal: there is no block 2 among 2')
    const other = pool.allocate()!
    pool.seal(other, 'key')
    expect(() => pool.seal(other, 'another')).toThrow('sealed twice')
  })
})
