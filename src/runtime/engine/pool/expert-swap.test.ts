import { describe, expect, it } from 'vitest'
import { describeHotSwap } from '../../../adapters/serving/hot-swap.contract.ts'
import { createAdapterPool } from './create-pool.ts'
import { ExpertSwap } from './expert-swap.ts'
import { base, getSlotBytes, makeAdapter } from './testing.ts'

const adapters = await Promise.all(Array.from({ length: 9 }, (_, seed) => makeAdapter(seed)))

/** Each value stands for an adapter of its own; undefined is the base. */
function createExpertOf() {
  const known = new Map<unknown, (typeof adapters)[number]>()
  return (held: unknown) => {
    if (held === undefined) return undefined
    const adapter = known.get(held) ?? adapters[known.size]!
    known.set(held, adapter)
    return adapter
  }
}

describeHotSwap(
  'ExpertSwap',
  (active, options) => new ExpertSwap(createAdapterPool(base), active, createExpertOf(), options),
)

describe('ExpertSwap', () => {
  const [coder, reviewer, other] = adapters

  it('fills the slot of what is prepared, and keeps the slot of what passes run on', async () => {
    const pool = createAdapterPool(base, { budgetBytes: 2 * getSlotBytes(4) })
    const swap = new ExpertSwap(pool, coder, (expert) => expert)
    let end = (): void => undefined
    const pass = swap.run(async () => new Promise<void>((resolve) => (end = resolve)))
    await swap.prepare(reviewer)
    expect(pool.statistics).toMatchObject({ resident: 2, active: 1, fills: 1 })
    const swapped = swap.swap()
    const first = (await pool.acquire(reviewer!))!
    expect(pool.statistics).toMatchObject({ hits: 1, active: 2 })
    expect(await pool.acquire(other!)).toBe(undefined) // the old one is still in use
    end()
    await Promise.all([pass, swapped])
    expect(await pool.acquire(other!)).toBeDefined()
    pool.release(first)
  })
  it('leaves everything as it was where an expert is refused', async () => {
    const pool = createAdapterPool(base)
    const swap = new ExpertSwap(pool, coder, (expert) => expert)
    const bad = { ...coder!, tensors: new Map([...coder!.tensors].slice(1)) }
    await expect(swap.prepare(bad)).rejects.toThrow('does not fit the model')
    expect([swap.active, swap.hasStandby, pool.statistics.resident]).toEqual([coder, false, 0])
  })
})
