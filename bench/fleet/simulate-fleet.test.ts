import { describe, expect, it } from 'vitest'
import { EventHeap } from './event-heap.ts'
import { type FleetOptions, simulateFleet } from './simulate-fleet.ts'
import { computeStepSeconds } from './training-cost.ts'

const small: FleetOptions = {
  adapters: 1_000,
  replicas: 8,
  resident: 60,
  exponent: 1,
  requests: 20_000,
  policy: 'grown',
}

describe('simulateFleet', () => {
  it('gives the same numbers for the same seed, others for another', () => {
    expect(simulateFleet(small)).toEqual(simulateFleet(small))
    expect(simulateFleet({ ...small, seed: 1 })).not.toEqual(simulateFleet(small))
  })
  it('hits always where every adapter fits everywhere, after the first time', () => {
    const { hitShare, fetchesPerSecond } = simulateFleet({
      ...small,
      adapters: 50,
      policy: 'blind',
    })
    expect([hitShare, fetchesPerSecond]).toEqual([1, 0])
  })
  it('waits as a queue of one server and one slot does: ρ/(1−ρ) service times on average', () => {
    const { waitMs } = simulateFleet({
      ...small,
      adapters: 1,
      replicas: 1,
      slots: 1,
      load: 0.5,
      loadMs: 0,
      requests: 200_000,
    })
    // M/M/1 with ρ = 0.5: half of the requests wait, P(wait > t) = ρ·exp(−(1−ρ)·t/service)
    expect(waitMs.p50).toBeLessThan(30)
    expect(waitMs.p99).toBeGreaterThan(7_000)
    expect(waitMs.p99).toBeLessThan(8_700)
  })
  it('sends to where adapters lie more often than a plain balancer', () => {
    const hits = ['blind', 'homes', 'grown'].map(
      (policy) => simulateFleet({ ...small, policy }).hitShare,
    )
    expect(hits[1]).toBeGreaterThan(hits[0]! + 0.15)
    expect(hits[2]).toBeGreaterThan(hits[0]! + 0.15)
  })
  it('gives a hot adapter more homes, where two would let it wait', () => {
    const hot = { ...small, exponent: 1.6, resident: 200, requests: 40_000, replicas: 16 }
    const fixed = simulateFleet({ ...hot, policy: 'homes' }).waitMs.p99
    expect(simulateFleet({ ...hot, policy: 'grown' }).waitMs.p99).toBeLessThan(fixed / 3)
  })
  it('serves worse with gates that do not know of each other', () => {
    const one = simulateFleet(small)
    const four = simulateFleet({ ...small, gates: 4 })
    expect(four.waitMs.p99).toBeGreaterThan(one.waitMs.p99)
    expect(four.hitShare).toBeGreaterThan(simulateFleet({ ...small, policy: 'blind' }).hitShare)
  })
  it('refuses a policy that is none', () => {
    expect(() => simulateFleet({ ...small, policy: 'best' })).toThrow('no policy best')
  })
})

describe('EventHeap', () => {
  it('gives items by time', () => {
    const heap = new EventHeap<number>()
    const times = Array.from({ length: 500 }, (_, i) => (i * 7919) % 503)
    for (const time of times) heap.push(time, time)
    const got = times.map(() => heap.pop())
    expect(got).toEqual(times.toSorted((a, b) => a - b))
    expect(heap.next).toBe(Infinity)
  })
})

describe('computeStepSeconds', () => {
  it('is compute / N, what travels, and the calls', () => {
    const options = { computeSeconds: 3.5, bytes: 19.5e6, bitsPerSecond: 1e9, callSeconds: 0.05 }
    expect(computeStepSeconds(1, options)).toBe(3.5)
    expect(computeStepSeconds(4, options)).toBeCloseTo(0.875 + 0.234 + 0.05, 10)
  })
})
