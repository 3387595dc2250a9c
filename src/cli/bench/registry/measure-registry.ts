// Creates a registry with many experts in a temporary folder, and times the calls of users and
// servers.

import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRole } from '../../../adapters/roles.ts'
import { random as createRandom } from '../../../base/random.ts'
import { saveAdapter } from '../../../node/adapters.ts'
import { openRegistry } from '../../../node/registry/open-registry.ts'
import { registrySchema, RegistryTables } from '../../../node/registry/registry-tables.ts'
import { openSqliteFile } from '../../../node/stores/sqlite-file.ts'
import type { ExpertManifest } from '../../../registry/manifest/manifest-fields.ts'
import type { ExpertVector, Registry } from '../../../registry/registry.ts'

/** Numbers of a vector of SmolLM2-135M. */
const width = 576
const embedder = 'bench'
const topics = ['json', 'sql', 'cypher', 'typescript', 'tales', 'medicine', 'law', 'style']

const createManifest = (i: number): ExpertManifest => ({
  layout: 1,
  id: `expert-${i}`,
  version: `1.${i % 7}.0`,
  kind: 'lora',
  base: { id: 'smollm2-135m-instruct' },
  description: `Answers questions about ${topics[i % topics.length]}, number ${i}`,
  tags: [topics[i % topics.length]!],
  domains: ['texts'],
  scores: { exact_match: { value: (i % 100) / 100, low: 0, high: 1 } },
  routing: { keywords: [`word-${i}`], examples: ['How is it done?', 'Write one that works.'] },
})

/** Vectors of length 1 that point anywhere. */
function createVectors(count: number): ExpertVector[] {
  const random = createRandom(1)
  return Array.from({ length: count }, (_, i) => {
    const { id, version } = createManifest(i)
    const vector = new Float32Array(width).map(() => random.uniform() - 0.5)
    const length = Math.hypot(...vector)
    return { id, version, vector: vector.map((value) => value / length) }
  })
}

/** Rows of the index alone: copying thousands of folders measures the disk. */
async function fillIndex(location: string, count: number): Promise<void> {
  const database = await openSqliteFile(join(location, 'index.db'), registrySchema, 1000)
  try {
    const tables = new RegistryTables(database)
    for (let i = 0; i < count; i++) {
      const manifest = createManifest(i)
      const { id, version } = manifest
      const hash = i.toString(16).padStart(64, '0')
      const addedAt = '2026-11-30T09:00:00Z'
      const own = { id, version, hash, sizeBytes: 20_000_000, addedAt, manifest }
      tables.add(Object.assign({ channels: ['stable'], vector: undefined }, own))
    }
    tables.setVectors(embedder, createVectors(count))
  } finally {
    database.close()
  }
}

const measure = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}

async function repeat(times: number, work: (i: number) => Promise<unknown>): Promise<number[]> {
  const values: number[] = []
  for (let i = 0; i < times; i++) values.push(await measure(() => work(i)))
  return values
}

export interface RegistryTimes {
  /** In milliseconds. */
  readonly values: readonly number[]
  readonly name: string
  readonly aim: number
  readonly note: string
}

/** The times of one call each, over `count` experts. */
export async function* measureRegistry(count: number): AsyncIterable<RegistryTimes> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-bench-registry-'))
  const location = join(folder, 'registry')
  try {
    await (await openRegistry(location)).close()
    await fillIndex(location, count)
    const cold = await repeat(5, async () => {
      const registry = await openRegistry(location)
      await registry.list()
      await registry.close()
    })
    yield { name: 'list, opened anew', values: cold, aim: 200, note: 'graft experts list' }
    const registry = await openRegistry(location)
    yield* measureOpen(registry, count)
    yield* measureAdding(registry, folder)
    await registry.close()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function* measureOpen(registry: Registry, count: number): AsyncIterable<RegistryTimes> {
  const idOf = (i: number): string => `expert-${(i * 7919) % count}`
  await registry.list()
  const listed = await repeat(20, () => registry.list())
  yield { name: 'list again', values: listed, aim: 200, note: 'GET /v1/experts' }
  const resolved = await repeat(200, (i) =>
    registry.resolve(`${idOf(i)}@${['stable', '^1', '1.x'][i % 3]}`),
  )
  yield { name: 'resolve', values: resolved, aim: 1, note: 'by channel and range' }
  const words = await repeat(20, (i) => registry.search({ text: `about ${topics[i % 8]}` }))
  yield { name: 'search by words', values: words.slice(1), aim: 20, note: '' }
  const vectors = createVectors(30)
  const first = await measure(() => registry.search({ vector: vectors[0]!.vector, embedder }))
  const meant = await repeat(29, (i) =>
    registry.search({ vector: vectors[i + 1]!.vector, embedder }),
  )
  const note = `${width} numbers; the first, which reads them, ${first.toFixed(0)} ms`
  yield { name: 'search by meaning', values: meant, aim: 20, note }
}

/** Adding, compared with a plain copy of the same folder. */
async function* measureAdding(registry: Registry, folder: string): AsyncIterable<RegistryTimes> {
  const copies: number[] = []
  const added: number[] = []
  for (let i = 0; i < 12; i++) {
    const path = join(folder, `new-${i}`)
    await saveAdapter(createRole('coder', width, { seed: i }), path)
    copies.push(await measure(() => cp(path, `${path}-copy`, { recursive: true })))
    added.push(await measure(() => registry.add(path, { id: `new-${i}`, channels: ['stable'] })))
  }
  const copy = copies.toSorted((a, b) => a - b)[6]!
  const values = added.map((time) => Math.max(0, time - copy))
  yield {
    name: 'add, besides copying',
    values,
    aim: 50,
    note: `a copy takes ${copy.toFixed(1)} ms`,
  }
}
