// Search by meaning: texts are embedded once for each version, and common text is excluded.

import { describe, expect, it } from 'vitest'
import { createEmbedder, embedMissing, listMeaningTexts, searchByMeaning } from './meaning.ts'
import { createTestManifest } from './registry.contract.ts'
import type { ExpertVector, RegisteredExpert, Registry, SearchQuery } from './registry.ts'

/** Vectors that count letters, with a large part that all texts share. */
const embedLetters = async (texts: readonly string[]): Promise<Float32Array[]> =>
  texts.map((text) => {
    const vector = new Float32Array(27)
    for (const letter of text.toLowerCase()) {
      const i = letter.charCodeAt(0) - 97
      if (i >= 0 && i < 26) vector[i]! += 1 / text.length
    }
    vector[26] = 5
    const length = Math.hypot(...vector)
    return vector.map((value) => value / length)
  })

const createRegistry = (descriptions: Readonly<Record<string, string>>) => {
  const kept = new Map<string, ExpertVector>()
  const experts = Object.entries(descriptions).map(([id, description]) => ({
    id,
    version: '1.0.0',
    manifest: createTestManifest({ id, description, routing: { examples: [`${description}?`] } }),
  })) as unknown as RegisteredExpert[]
  const registry = {
    listWithoutVector: async () => experts.filter(({ id }) => !kept.has(id)),
    async setVectors(_: string, vectors: readonly ExpertVector[]) {
      for (const one of vectors) kept.set(one.id, one)
    },
    search: async (query: SearchQuery) =>
      [...kept.values()]
        .map(({ id, vector }) => ({
          id,
          similarity: vector.reduce((sum, value, i) => sum + value * query.vector![i]!, 0),
        }))
        .sort((a, b) => b.similarity - a.similarity),
  } as unknown as Registry
  return { registry, kept }
}

describe('search by meaning', () => {
  it('puts the closest first, and leaves out what all texts have in common', async () => {
    const { registry, kept } = createRegistry({ zoo: 'zzz zoo zebra', mum: 'mmm mum mama' })
    const embedder = createEmbedder('letters', embedLetters)
    const found = await searchByMeaning(registry, embedder, 'zebras of a zoo')
    expect(found.map(({ id }) => id)).toEqual(['zoo', 'mum'])
    expect(found[0]!.similarity! - found[1]!.similarity!).toBeGreaterThan(0.3)
    for (const { vector } of kept.values()) expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
  })

  it('embeds each expert once, in batches that are kept', async () => {
    const names = Array.from({ length: 70 }, (_, i) => [`expert-${i}`, `about ${i}`])
    const { registry, kept } = createRegistry(Object.fromEntries(names))
    let calls = 0
    const embedder = createEmbedder('letters', async (texts) => {
      if (++calls === 3) throw new Error('the model is gone')
      return embedLetters(texts)
    })
    await expect(embedMissing(registry, embedder)).rejects.toThrow('the model is gone')
    expect(kept.size).toBe(32)
    const told: number[] = []
    const onProgress = ({ done }: { readonly done: number }): void => void told.push(done)
    expect(await embedMissing(registry, embedder, { onProgress })).toBe(38)
    expect([kept.size, told]).toEqual([70, [0, 32]])
    expect(await embedMissing(registry, embedder)).toBe(0)
  })

  it('reads description, words and examples of a manifest', () => {
    const texts = listMeaningTexts(
      createTestManifest({
        name: 'SQL writer',
        description: 'Writes queries',
        tags: ['sql'],
        domains: ['databases', 'sql'],
        routing: { keywords: ['join'], examples: ['Count the users', 'List the orders'] },
      }),
    )
    expect(texts).toEqual([
      'SQL writer. Writes queries. databases, sql, join',
      'Count the users',
      'List the orders',
    ])
  })
})
