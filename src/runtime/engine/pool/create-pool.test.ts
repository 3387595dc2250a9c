import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import type { Expert } from '../../../adapters/index.ts'
import { packAdapter } from '../../../adapters/packed/pack-adapter.ts'
import { NotFoundError, OptionError } from '../../../base/errors.ts'
import type { Lease } from './adapter-pool.ts'
import { createAdapterPool } from './create-pool.ts'
import { base, findContentProblems, getSlotBytes, makeAdapter } from './testing.ts'

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
    const pool = createAdapterPool(base, { budgetBytes: 2 * getSlotBytes(4) })
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

describe('names and versions', () => {
  it('switch at once for later leases, while earlier ones end on the old version', async () => {
    const pool = createAdapterPool(base)
    const [first, second] = [await makeAdapter(1), await makeAdapter(2)]
    const one = await pool.register('coder', first, { note: 'monday' })
    expect(one).toMatchObject({ name: 'coder', version: 1, metadata: { note: 'monday' } })
    const before = (await pool.acquire('coder'))!
    const two = await pool.register('coder', second)
    expect([two.version, two.key === one.key]).toEqual([2, false])
    const after = (await pool.acquire('coder'))!
    expect(findContentProblems(pool, before, first)).toEqual([])
    expect(findContentProblems(pool, after, second)).toEqual([])
    // a request that was queued with the old handle still gets what it asked for
    const late = (await pool.acquire(one))!
    expect(findContentProblems(pool, late, first)).toEqual([])
    expect(pool.statistics).toMatchObject({ names: 1, resident: 2, active: 2 })
    pool.release(before)
    expect(pool.statistics.resident).toBe(2)
    pool.release(late)
    expect(pool.statistics).toMatchObject({ resident: 1, active: 1 })
    expect(pool.list()).toEqual([two])
  })
  it('are those of the last call, whichever call was checked first', async () => {
    const pool = createAdapterPool(base)
    const slow = pool.register('coder', await makeAdapter(1, {}, 'dora')) // reads the base
    const fast = pool.register('coder', await makeAdapter(2))
    const [, last] = await Promise.all([slow, fast])
    expect(pool.list()).toEqual([last])
    expect(pool.list()[0]!.expert).toMatchObject({ kind: 'lora' })
  })
  it('share a slot where the content is equal, and no key where it is not', async () => {
    const pool = createAdapterPool(base)
    const given = await makeAdapter(1)
    const again = { ...given, tensors: new Map([...given.tensors].reverse()), metadata: { a: 'b' } }
    const [a, b] = [await pool.register('a', given), await pool.register('b', again)]
    expect(a.key).toBe(b.key)
    expect(a.key).toMatch(/^[0-9a-f]{64}$/)
    const leases = [(await pool.acquire('a'))!, (await pool.acquire('b'))!]
    expect(pool.statistics).toMatchObject({ resident: 1, fills: 1, hits: 1, leases: 2 })
    expect(leases.map(({ handle }) => handle.name)).toEqual(['a', 'b'])
    // the same path, other bytes
    const [key, tensor] = [...given.tensors][0]!
    const data = (tensor.data as Float32Array).map((value, i) => (i === 0 ? value + 1 : value))
    const changed = { ...given, tensors: new Map([...given.tensors, [key, { ...tensor, data }]]) }
    expect((await pool.register('a', changed)).key).not.toBe(a.key)
    const louder = { ...given, config: { ...given.config, alpha: 99 } }
    expect((await pool.register('c', louder)).key).not.toBe(a.key)
  })
  it('key mixtures by the keys and weights of their adapters', async () => {
    const pool = createAdapterPool(base)
    const [a, b] = [await makeAdapter(1), await makeAdapter(2)]
    const mix = (x: number, y: number) => ({
      mixture: [
        { adapter: a, weight: x },
        { adapter: b, weight: y },
      ],
    })
    const keyOf = async (expert: Expert) => (await pool.find(expert)).key
    expect(await keyOf(mix(1, 2))).toBe(await keyOf(mix(1, 2)))
    expect(await keyOf(mix(1, 2))).not.toBe(await keyOf(mix(2, 1)))
    expect(await keyOf(mix(1, 0))).toBe(await keyOf(a))
    expect(await keyOf(mix(2, 0))).not.toBe(await keyOf(a))
    expect(await keyOf(a)).toMatch(/^object:/)
    await pool.register('a', a)
    expect(await keyOf(a)).toBe(pool.list()[0]!.key)
  })
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

describe('unloading', () => {
  it('waits for the last of four leases, and refuses new ones', async () => {
    const pool = createAdapterPool(base)
    const handle = await pool.register('coder', await makeAdapter(1))
    const leases = [1, 2, 3, 4].map(() => pool.lease(handle)!)
    let isDone = false
    const unloading = pool.unload('coder').then(() => (isDone = true))
    await expect(pool.acquire('coder')).rejects.toThrow(NotFoundError)
    expect(() => pool.lease(handle)).toThrow('The adapter "coder" was unloaded.')
    for (const lease of leases) {
      await Promise.resolve()
      expect(isDone).toBe(false)
      pool.release(lease)
    }
    await unloading
    expect(pool.statistics).toMatchObject({ resident: 0, slotBytes: 0, coldBytes: 0, sets: [] })
    await expect(pool.unload('coder')).rejects.toThrow(NotFoundError)
  })
  it('makes the slots fewer', async () => {
    const pool = createAdapterPool(base)
    const names = ['a', 'b', 'c', 'd', 'e']
    for (const [i, name] of names.entries()) await pool.register(name, await makeAdapter(i))
    const leases = await Promise.all(names.map(async (name) => (await pool.acquire(name))!))
    const bytes: number[] = [pool.statistics.slotBytes / getSlotBytes(4)]
    for (const [i, name] of names.entries()) {
      pool.release(leases[i]!)
      await pool.unload(name)
      bytes.push(pool.statistics.slotBytes / getSlotBytes(4))
      for (const lease of leases.slice(i + 1))
        expect(findContentProblems(pool, lease, lease.handle.expert!)).toEqual([])
    }
    expect(bytes).toEqual([8, 4, 4, 2, 1, 0])
  })
  it('where memory is scarce gives idle slots away first, and copies no tensors', async () => {
    const slotBytes = getSlotBytes(4)
    const pool = createAdapterPool(base, { budgetBytes: 8 * slotBytes, idleBytes: 2 * slotBytes })
    const adapters = await Promise.all([1, 2, 3, 4].map((seed) => makeAdapter(seed)))
    const halved = packAdapter(adapters[3]!, { bits: 16 })
    const experts = [...adapters.slice(0, 3), halved]
    const use = async (expert: Expert): Promise<void> => {
      const lease = (await pool.acquire(expert))!
      expect(findContentProblems(pool, lease, expert)).toEqual([])
      pool.release(lease)
    }
    for (const expert of [...experts, ...experts]) await use(expert)
    expect(pool.statistics).toMatchObject({ slotBytes: 2 * slotBytes, evictions: 6, coldBytes: 0 })
    // Experts that are in use have slots as long as the budget has room.
    const leases = await Promise.all(experts.map((expert) => pool.acquire(expert)))
    expect(leases.every(Boolean)).toBe(true)
    expect(pool.statistics.slotBytes).toBe(4 * slotBytes)
    leases.forEach((lease, i) => {
      expect(findContentProblems(pool, lease!, experts[i]!)).toEqual([])
    })
  })
  it('leaves nothing after 500 loads', async () => {
    const pool = createAdapterPool(base, { budgetBytes: 5 * getSlotBytes(4) })
    const [a, b] = [await makeAdapter(1), await makeAdapter(2)]
    const sizes: number[] = []
    for (let i = 0; i < 500; i++) {
      // new objects and new content each time, as a file that was written anew
      const [key, tensor] = [...a.tensors][0]!
      const data = (tensor.data as Float32Array).map((value) => value + i)
      const adapter = { ...a, tensors: new Map([...a.tensors, [key, { ...tensor, data }]]) }
      await pool.register('coder', adapter)
      const lease = (await pool.acquire('coder'))!
      const mixed = {
        mixture: [
          { adapter, weight: 0.5 },
          { adapter: b, weight: 1 },
        ],
      }
      pool.release((await pool.acquire(mixed))!)
      pool.release(lease)
      if (i % 2 === 0) await pool.unload('coder')
      if (![60, 80, 100, 460, 480, 499].includes(i)) continue
      collectGarbage()
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      sizes.push(arrayBuffers + heapUsed)
    }
    expect(Math.min(...sizes.slice(3))).toBeLessThan(1.02 * Math.min(...sizes.slice(0, 3)))
    await pool.unload('coder')
    expect(pool.statistics).toMatchObject({ names: 0, leases: 0, active: 0 })
  })
})

describe('residency', () => {
  it('evicts what was used longest ago, and nothing that is pinned', async () => {
    const pool = createAdapterPool(base, { budgetBytes: 3 * getSlotBytes(4) })
    for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries())
      await pool.register(name, await makeAdapter(i))
    const use = async (name: string): Promise<boolean> => {
      const { hits } = pool.statistics
      pool.release((await pool.acquire(name))!)
      return pool.statistics.hits > hits
    }
    for (const name of ['a', 'b', 'c', 'a']) await use(name)
    await use('d') // in place of b
    expect([await use('a'), await use('c'), await use('d'), await use('b')]).toEqual([
      true,
      true,
      true,
      false,
    ])
    pool.pin('c')
    await use('a')
    await use('e')
    expect(await use('c')).toBe(true)
    pool.pin('a')
    pool.pin('e')
    expect(await use('a')).toBe(true)
    await expect(pool.acquire('d')).rejects.toThrow(/Pinned adapters leave .* Unpin one/)
    pool.unpin('e')
    expect(await use('d')).toBe(false)
    expect(() => pool.pin('x')).toThrow(NotFoundError)
  })
  it('preloads, so that the first lease finds its slot', async () => {
    const pool = createAdapterPool(base, { budgetBytes: getSlotBytes(4) })
    const adapter = await makeAdapter(1)
    await pool.register('a', adapter)
    await pool.register('b', await makeAdapter(2))
    expect(pool.isResident('a')).toBe(false)
    expect(await pool.preload('a')).toBe(true)
    expect(pool.isResident('a')).toBe(true)
    expect(pool.statistics).toMatchObject({ resident: 1, active: 0, fills: 0 })
    const lease = (await pool.acquire('a'))!
    expect(pool.statistics).toMatchObject({ hits: 1, fills: 0 })
    expect(findContentProblems(pool, lease, adapter)).toEqual([])
    expect(await pool.preload('b')).toBe(false)
  })
  it('keeps feeds the same tensors while slots are refilled', async () => {
    const pool = createAdapterPool(base)
    const leases = [(await pool.acquire(await makeAdapter(1)))!]
    leases.push(
      (await pool.acquire(await makeAdapter(2)))!,
      (await pool.acquire(await makeAdapter(3)))!,
    )
    const { set } = leases[0]!.rank!
    const feeds = set.groupedFeeds()
    pool.release(leases[1]!)
    expect(set.active).toBe(3) // its place waits for the next
    await pool.acquire(await makeAdapter(4))
    expect(set.groupedFeeds()).toBe(feeds)
    pool.release(leases[0]!)
    pool.arrange()
    expect(set.active).toBe(2)
  })
})

describe('what the pool refuses, before anything changes', () => {
  it('is an adapter of another base, without a module, with NaN, or a mixture without a sum', async () => {
    const pool = createAdapterPool(base)
    const good = await makeAdapter(1)
    const handle = await pool.register('coder', good)
    const { statistics } = pool
    const lacking = { ...good, tensors: new Map([...good.tensors].slice(1)) }
    const nowhere = { ...good, config: { ...good.config, targets: ['w1'] }, tensors: new Map() }
    const [key, tensor] = [...good.tensors][3]!
    const withNaN = (value: number) => ({
      ...good,
      tensors: new Map([
        ...good.tensors,
        [key, { ...tensor, data: (tensor.data as Float32Array).map(() => value) }],
      ]),
    })
    const whole = await makeAdapter(2, { modulesToSave: ['lm_head'] })
    const mixture = {
      mixture: [
        { adapter: whole, weight: 1 },
        { adapter: good, weight: 1 },
      ],
    }
    const refused: [Expert, string][] = [
      [lacking, 'does not fit the model'],
      [nowhere, 'changes no layer of this model'],
      [withNaN(NaN), `NaN or infinity in ${key}`],
      [withNaN(Infinity), `NaN or infinity in ${key}`],
      [mixture, 'This mixture cannot be served exactly'],
      [{ mixture: [{ adapter: good, weight: 0 }] }, 'The base needs no lease'],
    ]
    for (const [expert, message] of refused) {
      await expect(pool.register('coder', expert)).rejects.toThrow(message)
      await expect(pool.acquire(expert)).rejects.toThrow(message)
      expect(pool.list()).toEqual([handle])
      expect(pool.statistics).toEqual(statistics)
    }
    await expect(pool.register('', good)).rejects.toThrow(OptionError)
    const wrong = { budget: 1 } as never
    expect(() => createAdapterPool(base, wrong)).toThrow('Did you mean "budgetBytes"?')
  })
})

describe('kinds that no slot holds', () => {
  it('are attached, and counted', async () => {
    const pool = createAdapterPool(base)
    const whole = await makeAdapter(1, { modulesToSave: ['lm_head'] })
    const prompt = await makeAdapter(2, {}, 'prompt-tuning')
    await pool.register('whole', whole)
    await pool.register('prompt', prompt)
    const lease = (await pool.acquire('whole'))!
    expect(lease).toMatchObject({ attached: whole, rank: undefined, vector: 0 })
    expect((await pool.find('prompt')).virtualTokens).toBe(16)
    expect(pool.statistics).toMatchObject({
      attached: { experts: 2, leases: 1 },
      resident: 0,
      slotBytes: 0,
    })
    pool.release(lease)
  })
  it('include what is larger than the whole budget', async () => {
    const pool = createAdapterPool(base, { budgetBytes: getSlotBytes(4) - 1 })
    const adapter = await makeAdapter(1)
    expect((await pool.acquire(adapter))!.attached).toBe(adapter)
    const mixture = { mixture: [{ adapter, weight: 2 }] }
    await expect(pool.acquire(mixture)).rejects.toThrow(/This mixture needs .* MB in a slot/)
  })
})

describe('cold forms', () => {
  it.each([
    ['f16', 0.5, 5e-4],
    ['int8', 0.27, 0.02],
  ] as const)(
    '%s take a share of the bytes, and fill slots to their error',
    async (cold, share, error) => {
      const adapter = await makeAdapter(1, { rank: 16, alpha: 32 })
      const [exact, packed] = [createAdapterPool(base), createAdapterPool(base, { cold })]
      const handle = await packed.register('a', adapter)
      expect(handle.expert).toBe(undefined)
      expect(handle.key).not.toBe((await exact.register('a', adapter)).key)
      const floats = 4 * [...adapter.tensors.values()].reduce((n, { data }) => n + data.length, 0)
      expect(packed.statistics.coldBytes).toBeLessThanOrEqual(share * floats)
      const feedsOf = async (pool: typeof exact) => {
        const { set, slot } = (await pool.acquire('a'))!.rank!
        return set.slotFeeds(slot)
      }
      const [wanted, got] = [await feedsOf(exact), await feedsOf(packed)]
      for (const [name, { data }] of wanted) {
        const norm = (values: Float32Array): number => Math.hypot(...values)
        const difference = data.map((value, i) => value - got.get(name)!.data[i]!)
        expect(norm(difference) / norm(data)).toBeLessThan(error)
        expect(norm(difference)).toBeGreaterThan(0)
      }
    },
  )
})
