// Against what PEFT 0.21 wrote for three LoRA adapters, compared in the space of ΔW.
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { openFixtureFolder } from '../../test/support/parity-folder.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { loadAdapter } from '../adapters/files/peft.ts'
import type { Tensor } from '../base/tensor.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { openSafetensors } from '../formats/safetensors/reader.ts'
import { computeDeltas, computeDistance, expectClose } from './fixture.contract.ts'
import { merge } from './merge.ts'
import type { MergeRecipe } from './method.ts'

const folder = new URL('../../test/parity/merge/', import.meta.url)
const bytesAt = async (path: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(path, folder)))
const adapterAt = (path: string): Promise<Adapter> => loadAdapter(openFixtureFolder(path, folder))

async function tensorsAt(path: string): Promise<Map<string, Tensor>> {
  const store = await openSafetensors(createMemorySource(path, await bytesAt(path)))
  const tensors = new Map<string, Tensor>()
  for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
  return tensors
}

const deltasIn = (tensors: ReadonlyMap<string, Tensor>): Map<string, Float32Array> =>
  new Map(
    [...tensors]
      .filter(([name]) => name.endsWith('.delta'))
      .map(([name, { data }]) => [name.slice(0, -'.delta'.length), data as Float32Array]),
  )

let inputs: Adapter[]
beforeAll(async () => {
  inputs = await Promise.all(['a', 'b', 'c'].map((name) => adapterAt(`inputs/${name}`)))
})

const signed = [1, 0.7, -0.4]
const positive = [1, 0.7, 0.4]

describe('the exact weighted sum', () => {
  it.each([
    ['weighted', { method: 'weighted', weights: signed }],
    ['cat', { method: 'cat', weights: signed }],
    ['task-arithmetic', { method: 'task-arithmetic', weights: signed }],
    ['weighted through the SVD of its core', { method: 'weighted', weights: signed, energy: 1 }],
  ] satisfies [string, MergeRecipe][])('comes out of %s', async (_name, recipe) => {
    const expected = deltasIn(await tensorsAt('exact_weighted_sum.safetensors'))
    expect(expected.size).toBe(15)
    expectClose(computeDeltas(merge(inputs, recipe)), expected, 1e-6)
  })
})

describe("PEFT's merges", () => {
  it.each([
    ['linear', { method: 'peft-linear', weights: positive }, 1e-6],
    ['cat', { method: 'cat', weights: signed }, 1e-6],
    ['svd', { method: 'weighted', weights: signed, rank: 4 }, 1e-5],
    ['ties', { method: 'peft-ties', weights: positive, density: 0.5 }, 1e-6],
    ['ties_svd', { method: 'peft-ties-svd', weights: signed, density: 0.5, rank: 4 }, 1e-4],
    ['magnitude_prune', { method: 'peft-magnitude-prune', weights: positive, density: 0.5 }, 1e-6],
  ] satisfies [string, MergeRecipe, number][])('%s', async (name, recipe, within) => {
    const tensors = await tensorsAt(`peft/m_${name}/expected.safetensors`)
    expect(
      computeDistance(recipe.weights, tensors.get('weights')!.data as Float32Array),
    ).toBeLessThan(1e-6)
    const merged = merge(inputs, recipe)
    expectClose(computeDeltas(merged), deltasIn(tensors), within)
    // The same modules and ranks as in PEFT's own file.
    const theirs = await adapterAt(`peft/m_${name}`)
    expect([...merged.tensors].map(([key, { shape }]) => [key, ...shape]).sort()).toEqual(
      [...theirs.tensors].map(([key, { shape }]) => [key, ...shape]).sort(),
    )
  })
  it('keeps A and B themselves where PEFT merges them apart', async () => {
    const theirs = await adapterAt('peft/m_ties')
    const ours = merge(inputs, { method: 'peft-ties', weights: positive, density: 0.5 })
    for (const [key, { data }] of theirs.tensors)
      expect(
        computeDistance(ours.tensors.get(key)!.data as Float32Array, data as Float32Array),
      ).toBeLessThan(1e-6)
  })
})
