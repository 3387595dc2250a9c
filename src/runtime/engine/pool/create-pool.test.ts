import { describe, expect, it } from 'vitest'
import type { Expert } from '../../../adapters/index.ts'
import { NotFoundError, OptionError } from '../../../base/errors.ts'
import type { Lease } from './adapter-pool.ts'
import { createAdapterPool } from './create-pool.ts'
import { countSlotNumbers } from './slot-layout.ts'
import { base, findContentProblems, layout, makeAdapter } from './testing.ts'

const slotBytes = (rank: number): number =>
  4 * (countSlotNumbers(layout, rank) + layout.reduce((n, { parts }) => n + parts.length, 0))

const ia3Targets = { targets: ['k_proj', 'v_proj', 'down_proj'], feedForward: ['down_proj'] }

describe('an adapter pool', () => {
  it('puts experts of any kind and rank where programs find them', async () => {
    const pool = createAdapterPool(base)
    const [a, b] = [await makeAdapter(1), await makeAdapter(2, { rank: 7 })]
    const experts: Expert[] = [
      a,
      b,
      await makeAdapter(3, { targets: ['q_proj', 'down_proj'], layers: [1] }),
      await makeAdapter(4, { rank: 3 }, 'dora'),
      await makeAdapter(5, ia3Targets, 'ia3'),
      await makeAdapter(6, { loraBias: true }),
      await makeAdapter(7, { rankPattern: { up_proj: 5 } }),
      {
        mixture: [
          { adapter: a, weight: 0.5 },
          { adapter: b, weight: -2 },
        ],
      },
      { mixture: [{ adapter: a, weight: 3 }] },
    ]
    const leases: Lease[] = []
    for (const expert of experts) leases.push((await pool.acquire(expert))!)
    for (const [i, expert] of experts.entries())
      expect(findContentProblems(pool, leases[i]!, expert)).toEqual([])
  })
  it('names what is not registered', async () => {
    const pool = createAdapterPool(base)
    await pool.register('coder', await makeAdapter(1))
    await expect(pool.acquire('codr')).rejects.toThrow(NotFoundError)
    await expect(pool.acquire('codr')).rejects.toThrow('Did you mean "coder"? There are coder.')
    const lease = (await pool.acquire('coder'))!
    pool.release(lease)
    expect(() => pool.release(lease)).toThrow(OptionError)
  })
  it('stays in its budget', async () => {
    const pool = createAdapterPool(base, { budgetBytes: 2 * slotBytes(4) })
    const experts = [await makeAdapter(1), await makeAdapter(2), await makeAdapter(3)]
    const [first, second] = [await pool.acquire(experts[0]!), await pool.acquire(experts[1]!)]
    expect(await pool.acquire(experts[2]!)).toBe(undefined)
    pool.release(first!)
    const third = await pool.acquire(experts[2]!)
    expect(findContentProblems(pool, second!, experts[1]!)).toEqual([])
    expect(findContentProblems(pool, third!, experts[2]!)).toEqual([])
    expect(pool.statistics).toMatchObject({ resident: 2, active: 2, evictions: 1, fills: 3 })
  })
})
