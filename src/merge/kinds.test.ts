// Every adapter kind that changes weights as a source: the result changes the base as the kind's
// own merge does.
import { beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../adapters/adapter.ts'
import { folderAt, parity, storiesBase, type Base } from '../../test/support/adapters.ts'
import { mergeWeights } from '../adapters/merge-weights.ts'
import { loadAdapter } from '../adapters/files/peft.ts'
import { computeDistance } from './fixture.contract.ts'
import { merge } from './merge.ts'

const kinds = ['lora_all_rs', 'lora_patterns', 'lora_layers', 'dora_r6', 'ia3', 'lokr', 'lokr_both']
let base: Base
let adapters: Map<string, Adapter>
beforeAll(async () => {
  base = await storiesBase()
  adapters = new Map(
    await Promise.all(
      kinds.map(
        async (name) => [name, await loadAdapter(folderAt(new URL(`${name}/`, parity)))] as const,
      ),
    ),
  )
})

/** By weight name: what the adapter adds to the base. */
function changes(adapter: Adapter): Map<string, Float64Array> {
  const merged = [...mergeWeights(base.model, adapter, base.weightOf)]
  return new Map(
    merged.map(([name, { data }]) => [
      name,
      Float64Array.from(data, (value, i) => value - base.weightOf(name).data[i]!),
    ]),
  )
}

describe('sources', () => {
  it.each(kinds)('%s alone, with weight 1, is itself', (name) => {
    const adapter = adapters.get(name)!
    const merged = merge([adapter], { method: 'weighted', base })
    expect(merged.kind).toBe('lora')
    const got = changes(merged)
    const expected = changes(adapter)
    expect([...got.keys()].sort()).toEqual([...expected.keys()].sort())
    // Differences of weights carry the rounding of the weights themselves, about 1e-7 of W where ΔW
    // is 1e-2 of it.
    for (const [weight, values] of expected)
      expect(computeDistance(got.get(weight)!, values)).toBeLessThan(1e-4)
  })
  it('of different kinds add up', () => {
    const dora = adapters.get('dora_r6')!
    const lokr = adapters.get('lokr')!
    const lora = adapters.get('lora_all_rs')!
    const got = changes(
      merge([dora, lokr, lora], { method: 'weighted', weights: [1, 0.5, -2], base }),
    )
    const parts = [dora, lokr, lora].map(changes)
    for (const [weight, values] of got) {
      const expected = values.map(
        (_, i) =>
          (parts[0]!.get(weight)?.[i] ?? 0) +
          0.5 * (parts[1]!.get(weight)?.[i] ?? 0) -
          2 * (parts[2]!.get(weight)?.[i] ?? 0),
      )
      expect(computeDistance(values, expected)).toBeLessThan(1e-4)
    }
  })
  it('are merged by entries too, cut to the largest rank among those that have one', () => {
    const merged = merge([adapters.get('dora_r6')!, adapters.get('lora_all_rs')!], {
      method: 'ties',
      base,
    })
    expect(Math.max(...[...merged.tensors.values()].map(({ shape }) => Math.min(...shape)))).toBe(4)
    expect(() => merge([adapters.get('dora_r6')!], { method: 'ties', base })).toThrow(
      'give the rank or the energy',
    )
  })
  it('need their base where the change depends on it', () => {
    expect(() => merge([adapters.get('dora_r6')!], { method: 'average' })).toThrow(
      "pass the base's model and weightOf",
    )
  })
})
