// Times a running server from the move of a registry's channel to the first token of the new
// version: for small experts, and for experts of 20 MB.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Adapter } from '../../../adapters/adapter.ts'
import { saveAdapter } from '../../../node/adapters.ts'
import { loadModel } from '../../../node/index.ts'
import type { LocalRegistry } from '../../../node/registry/local-registry.ts'
import { openRegistry } from '../../../node/registry/open-registry.ts'
import { startServer } from '../../../node/serve/load-server.ts'
import { createSyntheticAdapter } from '../synthetic.ts'
import type { RegistryTimes } from './measure-registry.ts'

/** Versions that are published; the first two warm everything up. */
const versions = 14
const warm = 2

interface PublishingCase {
  readonly name: string
  readonly model: string
  readonly rank: number
}

const cases: readonly PublishingCase[] = [
  { name: 'small experts', model: 'stories260k', rank: 4 },
  { name: 'experts of 20 MB', model: 'smollm2-135m-instruct', rank: 16 },
]

/** The time of the next request's first token, with and without a version that is new. */
export async function* measurePublishing(): AsyncIterable<RegistryTimes> {
  for (const one of cases) {
    const folder = await mkdtemp(join(tmpdir(), 'graft-bench-publishing-'))
    try {
      yield await measureCase(one, folder)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function measureCase(
  { name, model: source, rank }: PublishingCase,
  folder: string,
): Promise<RegistryTimes> {
  const registry = await openRegistry(join(folder, 'registry'))
  const sizeBytes = await addVersions(registry, source, rank, folder)
  const server = await startServer({
    model: source,
    registry: join(folder, 'registry'),
    port: 0,
    state: 'memory',
    log: 'off',
  })
  const ask = async (): Promise<number> => {
    const start = performance.now()
    const body = { model: 'coder@stable', prompt: 'Once', max_tokens: 1, temperature: 0 }
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(await response.text())
    await response.text()
    return performance.now() - start
  }
  try {
    await registry.setChannel('coder', 'stable', '1.0.0')
    await ask()
    const values: number[] = []
    const usual: number[] = []
    for (let i = 1; i < versions; i++) {
      usual.push(await ask())
      const start = performance.now()
      await registry.setChannel('coder', 'stable', `1.${i}.0`)
      await ask()
      values.push(performance.now() - start)
    }
    const middle = usual.slice(warm).toSorted((a, b) => a - b)[(versions - warm) >> 1]!
    return {
      name: `a channel moves in a running server, ${name}`,
      values: values.slice(warm),
      aim: 100,
      note: `to the end of the next request, of one token, which takes ${middle.toFixed(0)} ms by itself; ${(sizeBytes / 1e6).toFixed(1)} MB each`,
    }
  } finally {
    await server.close()
    await registry.close()
  }
}

/** Versions of different content; bytes of one. */
async function addVersions(
  registry: LocalRegistry,
  source: string,
  rank: number,
  folder: string,
): Promise<number> {
  const model = await loadModel(source, { threads: 1 })
  let sizeBytes = 0
  try {
    for (let i = 0; i < versions; i++) {
      const drawn = createSyntheticAdapter(model.base, 'lora', undefined, { rank, first: 300 * i })
      const adapter: Adapter = Object.assign({}, drawn, { baseModel: source })
      const path = join(folder, 'made')
      await saveAdapter(adapter, path)
      const added = await registry.add(path, { id: 'coder', version: `1.${i}.0` })
      sizeBytes = added.sizeBytes
      await rm(path, { recursive: true })
    }
  } finally {
    await model.dispose()
  }
  return sizeBytes
}
