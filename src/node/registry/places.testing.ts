// Places for tests of registries: folders of experts, and processes that are killed.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { createExpert, openStories } from '../../../test/support/engine.ts'
import type { RegistryPlace } from '../../registry/registry.contract.ts'
import type { RegisteredExpert } from '../../registry/registry.ts'
import { saveAdapter } from '../adapters.ts'
import type { LocalRegistry } from './local-registry.ts'
import { openRegistry } from './open-registry.ts'
import { listNeededBlobs } from './publish/layout-folder.ts'
import { publishExpert } from './publish/publish-expert.ts'
import { openPublished } from './publish/published-layout.ts'

export interface FolderPlace extends RegistryPlace {
  readonly path: string
}

export interface RegistryPlaces {
  /** Folders `0` to `11`, each with an adapter. */
  readonly seeds: string
  make(): Promise<FolderPlace>
  remove(): Promise<void>
}

export async function createRegistryPlaces(): Promise<RegistryPlaces> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-registry-'))
  const seeds = join(folder, 'seeds')
  const model = await openStories()
  for (let seed = 0; seed < 12; seed++) {
    const options = { rank: 2, targets: ['q_proj'], start: 'random' }
    const adapter = createExpert(model.base, 'lora', options, seed)
    await saveAdapter({ ...adapter, baseModel: 'stories260k' }, join(seeds, String(seed)))
  }
  await model.dispose()
  let count = 0
  return {
    seeds,
    make: () => makePlace(join(folder, `place-${count++}`), seeds),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function makePlace(folder: string, seeds: string): Promise<FolderPlace> {
  await mkdir(folder)
  const path = join(folder, 'registry')
  let count = 0
  return {
    path,
    open: () => openRegistry(path),
    async makeExpert(manifest, seed) {
      const made = join(folder, `expert-${count++}`)
      await cp(join(seeds, String(seed)), made, { recursive: true })
      if (manifest) await writeFile(join(made, 'expert.json'), JSON.stringify(manifest))
      return made
    },
    async damage(at) {
      const file = join(at, 'adapter_model.safetensors')
      const bytes = await readFile(file)
      bytes[bytes.length - 1]! ^= 1
      await writeFile(file, bytes)
    },
    async measure() {
      let sum = 0
      for (const name of await readdir(join(path, 'content'), { recursive: true })) {
        const info = await stat(join(path, 'content', name))
        if (info.isFile()) sum += info.size
      }
      return sum
    },
    remove: () => rm(folder, { recursive: true }),
  }
}

/** Each handle adds so many versions of its own expert; returns its list afterwards. */
export async function addTogether(
  registries: readonly LocalRegistry[],
  seeds: string,
  times: number,
): Promise<(readonly RegisteredExpert[])[]> {
  const addAll = async (registry: LocalRegistry, writer: number) => {
    for (let i = 0; i < times; i++)
      await registry.add(join(seeds, `${i % 12}`), {
        id: `expert-${writer}`,
        version: `1.0.${i}`,
      })
  }
  await Promise.all(registries.map(addAll))
  return Promise.all(registries.map((one, writer) => one.list(`expert-${writer}`)))
}

/**
 * Kills processes that add, publish, remove and collect garbage; the registry and what is published
 * must be whole each time.
 */
export async function killRepeatedly(
  place: FolderPlace,
  seeds: string,
  rounds: number,
): Promise<void> {
  const worker = new URL('./registry-worker.testing.ts', import.meta.url).pathname
  const site = join(place.path, '..', 'site')
  const start = (): ChildProcess =>
    spawn(process.execPath, [worker, place.path, seeds, site], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  for (let round = 0; round < rounds; round++) {
    const child = start()
    await once(child.stdout!, 'data') // it has begun
    await sleep((round * 61) % 240)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const registry = await place.open()
    for (const { id, version } of await registry.list()) await registry.verify(`${id}@${version}`)
    if (round % 4 === 3) await registry.collectGarbage()
    await registry.close()
    await fetchAll(site, join(place.path, '..', 'fetched'))
  }
  const registry = await place.open()
  await registry.collectGarbage()
  const hashes = new Set<string>()
  for (const { id } of await registry.list())
    for (const { hash } of await registry.list(id)) hashes.add(hash)
  expect(new Set(await readdir(join(place.path, 'content')))).toEqual(hashes)
  await registry.add(join(seeds, '0'), { id: 'last', version: '1.0.0' })
  await publishExpert(registry, 'last', site)
  await registry.close()
  const blobs = await readdir(join(site, 'blobs', 'sha256'))
  expect(new Set(blobs)).toEqual(await listNeededBlobs(site))
  expect((await readdir(site)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout'])
}

/** Every byte of everything that is published is compared with its digest. */
async function fetchAll(site: string, folder: string): Promise<void> {
  const isThere = await stat(join(site, 'index.json')).catch(() => undefined)
  if (!isThere) return
  const published = await openPublished(site)
  for (const [i, expert] of published.index.experts.entries())
    await published.fetchInto(join(folder, String(i)), expert)
  await rm(folder, { recursive: true, force: true })
}
