// Thousands of random events against a naive model of what a pool promises.

import assert from 'node:assert/strict'
import { describe, expect, it } from 'vitest'
import type { Expert } from '../../../adapters/index.ts'
import { OptionError } from '../../../base/errors.ts'
import { random } from '../../../base/random.ts'
import type { AdapterPool, Lease } from './adapter-pool.ts'
import { createAdapterPool } from './create-pool.ts'
import {
  base,
  countVectorBytes,
  findContentProblems,
  getSlotBytes,
  makeAdapter,
} from './testing.ts'

interface TestExpert {
  readonly expert: Expert
  /** What it takes in slots. */
  readonly bytes: number
}

interface Held extends TestExpert {
  readonly lease: Lease
  readonly name: string | undefined
}

async function makeExperts(): Promise<TestExpert[]> {
  const vectors = countVectorBytes()
  const few = { targets: ['q_proj', 'down_proj'], layers: [1] }
  const ia3 = { targets: ['k_proj', 'v_proj', 'down_proj'], feedForward: ['down_proj'] }
  const plain = [1, 2, 3, 4].map(async (seed) => ({
    expert: await makeAdapter(seed),
    bytes: getSlotBytes(4),
  }))
  const [a, b] = await Promise.all(plain)
  return [
    ...(await Promise.all(plain)),
    { expert: await makeAdapter(5, few), bytes: getSlotBytes(4) },
    { expert: await makeAdapter(6, { ...few, rank: 8 }), bytes: getSlotBytes(8) },
    { expert: await makeAdapter(7, { rank: 7 }), bytes: getSlotBytes(8) },
    { expert: await makeAdapter(8, {}, 'dora'), bytes: getSlotBytes(4) + vectors },
    { expert: await makeAdapter(9, ia3, 'ia3'), bytes: vectors },
    {
      expert: {
        mixture: [
          { adapter: a!.expert as never, weight: 0.5 },
          { adapter: b!.expert as never, weight: 2 },
        ],
      },
      bytes: getSlotBytes(4),
    },
    { expert: await makeAdapter(10, { modulesToSave: ['lm_head'] }), bytes: 0 },
  ]
}

function countBytes(given: readonly TestExpert[]): number {
  const bytes = new Map(given.map((one) => [one.expert, one.bytes]))
  return [...bytes.values()].reduce((sum, one) => sum + one, 0)
}

/** The pool beside what it should be. */
class World {
  readonly leases: Held[] = []
  readonly names = new Map<string, TestExpert>()
  readonly pins = new Set<string>()
  /** Experts that have been in a slot since they were pinned. */
  readonly stays = new Set<TestExpert>()
  readonly unloading: { readonly name: string; isDone: boolean }[] = []
  full = 0
  readonly pool: AdapterPool
  readonly budget: number

  constructor(budget: number) {
    this.budget = budget
    this.pool = createAdapterPool(base, { budgetBytes: budget })
  }

  async register(name: string, given: TestExpert): Promise<void> {
    await this.pool.register(name, given.expert)
    this.names.set(name, given)
    this.#settlePins()
  }

  async acquire(name: string | undefined, given: TestExpert): Promise<void> {
    const { hits } = this.pool.statistics
    const isHeld = this.leases.some(({ expert }) => expert === given.expert)
    const pinned = this.#listPinned()
    let lease: Lease | undefined
    try {
      lease = await this.pool.acquire(name ?? given.expert)
    } catch (error) {
      assert.ok(error instanceof OptionError)
      assert.ok(countBytes(pinned) + given.bytes > this.budget)
      return
    }
    const isHit = this.pool.statistics.hits > hits
    const isAttached = given.bytes === 0
    assert.ok(isAttached || isHit || !(isHeld || this.stays.has(given)))
    const least = countBytes([...this.leases, ...this.stays]) + given.bytes
    const most = countBytes([...this.leases, ...pinned]) + given.bytes
    if (lease) assert.ok(isAttached || isHit || least <= this.budget)
    else assert.ok(!isAttached && most > this.budget)
    if (!lease) this.full++
    else this.leases.push({ ...given, lease, name })
    if (lease && pinned.includes(given)) this.stays.add(given)
  }

  release(place: number): void {
    const [held] = this.leases.splice(place, 1)
    this.pool.release(held!.lease)
  }

  unload(name: string): void {
    const entry = { name, isDone: false }
    this.unloading.push(entry)
    void this.pool.unload(name).then(() => (entry.isDone = true))
    for (const known of [this.names, this.pins]) known.delete(name)
    this.#settlePins()
  }

  pin(name: string): void {
    this.pool.pin(name)
    this.pins.add(name)
    const given = this.names.get(name)!
    if (this.leases.some(({ expert }) => expert === given.expert)) this.stays.add(given)
  }

  unpin(name: string): void {
    this.pool.unpin(name)
    this.pins.delete(name)
    this.#settlePins()
  }

  #listPinned(): TestExpert[] {
    return [...this.pins].map((name) => this.names.get(name)!)
  }

  /** Forgets experts that no pinned name has now. */
  #settlePins(): void {
    const pinned = this.#listPinned()
    for (const given of this.stays) if (!pinned.includes(given)) this.stays.delete(given)
  }

  /** Checks what must hold after every event, and the content of all leases or of one. */
  check(places: readonly number[]): void {
    const { statistics } = this.pool
    assert.ok(statistics.slotBytes <= this.budget)
    assert.equal(statistics.leases, this.leases.length)
    assert.equal(statistics.names, this.names.size)
    const inSlots = this.leases.filter(({ bytes }) => bytes > 0)
    const distinct = new Set(inSlots.map(({ expert }) => expert))
    assert.equal(statistics.active, distinct.size)
    const taken = new Map<string, Expert>()
    for (const { lease, expert } of inSlots) {
      const { rank } = lease
      const place = rank ? `${rank.set.rank} ${rank.slot}` : `vector ${lease.vector}`
      assert.equal(taken.get(place) ?? expert, expert)
      taken.set(place, expert)
      assert.ok(rank === undefined || (rank.slot >= 0 && rank.slot < rank.set.active))
    }
    for (const place of places) {
      const held = this.leases[place]
      if (held && held.bytes > 0)
        assert.deepEqual(findContentProblems(this.pool, held.lease, held.expert), [])
      else assert.equal(held?.lease.rank, undefined)
    }
  }

  arrange(): void {
    this.pool.arrange()
    const active = new Map<number, Set<Expert>>()
    for (const { lease, expert } of this.leases)
      if (lease.rank) {
        const { rank } = lease.rank.set
        active.set(rank, (active.get(rank) ?? new Set()).add(expert))
      }
    for (const set of this.pool.statistics.sets)
      assert.equal(set.active, active.get(set.rank)?.size ?? 0)
  }
}

async function playEvents(seed: number, count: number): Promise<World> {
  const experts = await makeExperts()
  const { uniform } = random(seed)
  const pick = (below: number): number => Math.floor(uniform() * below)
  const world = new World(Math.round(getSlotBytes(4) * (2 + 6 * uniform()) + countVectorBytes()))
  // Once its content was hashed, an object has the same key with and without a name.
  for (const { expert } of experts) await world.pool.register('first', expert)
  await world.pool.unload('first')
  const anyName = (): string => `name ${pick(5)}`
  for (let i = 0; i < count; i++) {
    const chance = uniform()
    const name = anyName()
    const known = world.names.get(name)
    const full = world.leases.length > 10
    if (chance < 0.15) await world.register(name, experts[pick(experts.length)]!)
    else if (chance < 0.35 && known && !full) await world.acquire(name, known)
    else if (chance < 0.5 && !full) await world.acquire(undefined, experts[pick(experts.length)]!)
    else if (chance < 0.8 && world.leases.length > 0) world.release(pick(world.leases.length))
    else if (chance < 0.84 && known) world.unload(name)
    else if (chance < 0.88 && known && world.pins.size < 2) world.pin(name)
    else if (chance < 0.92 && known) world.unpin(name)
    else if (chance < 0.95 && known) await world.pool.preload(name).catch(() => false)
    else if (chance > 0.95) world.arrange()
    world.check(i % 20 === 0 ? [...world.leases.keys()] : [pick(world.leases.length)])
  }
  return world
}

describe('an adapter pool under random events', () => {
  it.each([1, 2, 3, 4, 5, 6])('keeps its promises, seed %d', async (seed) => {
    const world = await playEvents(seed, 700)
    const { statistics } = world.pool
    expect(world.full).toBeGreaterThan(0)
    expect(statistics.evictions).toBeGreaterThan(0)
    expect(statistics.hits).toBeGreaterThan(0)
    while (world.leases.length > 0) world.release(0)
    await Promise.resolve()
    await new Promise((resolve) => setTimeout(resolve, 0))
    expect(world.unloading.filter(({ isDone }) => !isDone)).toEqual([])
    for (const name of world.names.keys()) await world.pool.unload(name)
    expect(world.pool.statistics).toMatchObject({ names: 0, leases: 0, active: 0 })
  })
})
