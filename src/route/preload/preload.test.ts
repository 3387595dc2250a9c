import { describe, expect, it } from 'vitest'
import { FormatError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { NextExperts } from './next-experts.ts'
import { computeHitRate, Preloader } from './preloader.ts'

describe('the next expert of a session', () => {
  it('is the one that came next before, by the last two', () => {
    const next = new NextExperts()
    for (let i = 0; i < 20; i++)
      for (const expert of ['plan', 'code', 'test', 'code', 'review']) next.note(`s${i}`, expert)
    next.note('new', 'plan')
    expect(next.predict('new')[0]!.expert).toBe('code')
    next.note('new', 'code')
    // after code come test and review; after plan, code comes test
    expect(next.predict('new')[0]!.expert).toBe('test')
    expect(next.predict('new')[0]!.score).toBeGreaterThan(0.7)
    next.note('new', 'test')
    next.note('new', 'code')
    expect(next.predict('new')[0]!.expert).toBe('review')
    const total = next.predict('new').reduce((sum, { score }) => sum + score, 0)
    expect(total).toBeCloseTo(1, 10)
    expect(next.predict('new', 1)).toHaveLength(1)
  })

  it('is counted by hand', () => {
    const next = new NextExperts()
    for (const expert of ['a', 'b', 'a']) next.note('s', expert)
    // order 0: a 2/3, b 1/3; after a: b 1 of 1 → (1 + 2/3)/(1 + 2); after (b, a): nothing
    expect(next.predict('s')).toEqual([
      { expert: 'b', score: (1 + 2 / 3) / 3 },
      { expert: 'a', score: (2 * (2 / 3)) / 3 },
    ])
    next.note('s', undefined)
    expect(next.predict('s').map(({ expert }) => expert)).not.toContain('')
    expect(next.predict('other')[0]).toEqual({ expert: 'a', score: 0.5 })
  })

  it('is kept in a file, without sessions', () => {
    const next = new NextExperts()
    for (const expert of ['a', 'b', 'a', 'b', 'c']) next.note('alice', expert)
    const text = JSON.stringify(next.save())
    expect(text).not.toContain('alice')
    const again = NextExperts.read(JSON.parse(text))
    expect(again.predict('x')).toEqual(next.predict('x'))
    for (const one of [again, next]) one.note('x', 'a')
    expect(again.predict('x')).toEqual(next.predict('x'))
    for (const broken of [null, {}, { counts: [['a', 1]] }, { counts: [[['a'], [['b', -1]]]] }])
      expect(() => NextExperts.read(broken)).toThrow(FormatError)
  })
})

/** A pool of two slots, of which the one used longest ago is given up; loading takes 30 ms. */
function createPool(slots = 2) {
  const resident: string[] = []
  let time = 0
  const enter = (name: string): void => {
    const at = resident.indexOf(name)
    if (at >= 0) resident.splice(at, 1)
    else time += 30
    resident.push(name)
    if (resident.length > slots) resident.shift()
  }
  return {
    enter,
    pool: { preload: async (name: string) => (enter(name), name !== 'gone') },
    resident: () => resident,
    now: () => time,
  }
}

describe('preloading', () => {
  it('has the next expert in memory, and reports what it saved', async () => {
    const pool = createPool()
    const preloader = new Preloader(pool)
    const order = ['a', 'b', 'c', 'd']
    for (let turn = 0; turn < 400; turn++) {
      const expert = order[turn % 4]!
      await preloader.note('s', expert)
      pool.enter(expert)
    }
    const { requests, hits, savedMs, loads, wasted, failed } = preloader.statistics
    expect(requests).toBe(400)
    expect(computeHitRate(preloader.statistics)).toBeGreaterThan(0.95)
    expect(savedMs).toBe(30 * hits)
    expect(wasted).toBe(loads - hits)
    expect(failed).toBe(0)
  })

  it('saves nothing where requests come in no order, and is seldom wrong about it', async () => {
    const pool = createPool()
    const preloader = new Preloader(pool, { least: 0.5 })
    const draw = random(4)
    for (let turn = 0; turn < 300; turn++) {
      const expert = 'abcdefgh'[draw.integer(8)]!
      await preloader.note('s', expert)
      pool.enter(expert)
    }
    expect(preloader.statistics.loads).toBeLessThan(60)
    expect(computeHitRate(preloader.statistics)).toBeLessThan(0.1)
  })

  it('counts nothing for the base, and continues after an expert that is gone', async () => {
    const pool = createPool()
    const failing = {
      ...pool,
      pool: {
        preload: async (): Promise<boolean> => {
          throw new Error('not found')
        },
      },
    }
    const preloader = new Preloader(failing)
    for (const expert of ['a', 'b', undefined, 'a', 'b', undefined, 'a'])
      await preloader.note('s', expert)
    expect(preloader.statistics.requests).toBe(5)
    expect(preloader.statistics.failed).toBeGreaterThan(0)
    expect(preloader.statistics.loads).toBe(0)
    expect(() => new Preloader(failing, { most: 0 })).toThrow(OptionError)
  })
})
