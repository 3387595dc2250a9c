// The pool's feeds are what the programs that serve in steps ask for, by name and shape.

import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../../base/tensor.ts'
import type { BaseWeights } from '../../programs/base-weights.ts'
import { buildDecodeGraph, buildPrefillGraph } from '../../programs/step/step-graph.ts'
import type { Lease } from './adapter-pool.ts'
import { createAdapterPool } from './create-pool.ts'
import { base, makeAdapter, model } from './testing.ts'

// packed weights of one form, so that layers are stacked as in a 4-bit base
const weights = {
  formOf: () => ({ bits: 4, block: 32, withOffsets: false }),
} as unknown as BaseWeights

type Shape = readonly (string | number)[]

/** Names of adapter inputs that the feeds lack, or whose fixed dimensions differ. */
function findWrongFeeds(
  { graph }: ReturnType<typeof buildDecodeGraph>,
  feeds: ReadonlyMap<string, Tensor>,
): string[] {
  const inputs = graph.inputs.filter(({ role }) => role === 'adapter')
  const wanted = new Map<string, Shape>(inputs.map(({ name, shape }) => [name, shape]))
  const wrong = [...wanted].filter(([name, shape]) => {
    const found = feeds.get(name)?.shape
    return (
      found?.length !== shape.length ||
      shape.some((dim, i) => typeof dim === 'number' && dim !== found[i])
    )
  })
  return [
    ...wrong.map(([name, shape]) => `${name}: [${shape}], fed [${feeds.get(name)?.shape}]`),
    ...[...feeds.keys()].filter((name) => !wanted.has(name)),
  ]
}

describe('feeds of the pool', () => {
  it('are the inputs of grouped programs of two sets, and of those for one expert', async () => {
    const pool = createAdapterPool(base)
    const leases: Lease[] = []
    for (const rank of [2, 4, 16])
      leases.push((await pool.acquire(await makeAdapter(rank, { rank })))!)
    const [small, , large] = leases.map(({ rank }) => rank!)
    const vectors = pool.vectors.feeds()
    const grouped = [...small!.set.groupedFeeds(0), ...large!.set.groupedFeeds(1), ...vectors]
    const needs = { accuracy: 'fast', vectors: true } as const
    const decode = buildDecodeGraph(model, weights, { ...needs, form: 'grouped', sets: 2 })
    expect(findWrongFeeds(decode, new Map(grouped))).toEqual([])
    const shared = new Map([...large!.set.slotFeeds(large!.slot), ...vectors])
    for (const build of [buildDecodeGraph, buildPrefillGraph])
      expect(findWrongFeeds(build(model, weights, { ...needs, form: 'shared' }), shared)).toEqual(
        [],
      )
  })
})
