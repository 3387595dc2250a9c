// The contract of registries on what a browser has, OPFS and IndexedDB, and signatures there.

import { describe, expect, it } from 'vitest'
import { loadAdapter, saveAdapter } from '../../../src/adapters/files/peft.ts'
import { createRole } from '../../../src/adapters/roles.ts'
import { OptionError, SignatureError, StorageError } from '../../../src/base/errors.ts'
import { signResources } from '../../../src/registry/signing/bundle.ts'
import { createKeyPair, readSigningKey } from '../../../src/registry/signing/ecdsa.ts'
import { listResources } from '../../../src/registry/signing/resources.ts'
import {
  createTestManifest,
  describeRegistry,
  type RegistryPlace,
} from '../../../src/registry/registry.contract.ts'
import type { ExpertFiles } from '../../../src/web/registry/content-store.ts'
import { openRegistry, type WebRegistryOptions } from '../../../src/web/registry/open-registry.ts'
import { openOpfsContent } from '../../../src/web/registry/opfs-content.ts'
import { listFiles, verifyExpertFiles } from '../../../src/web/registry/read-expert.ts'
import { RegistryDatabase } from '../../../src/web/registry/registry-database.ts'
import { runAll } from './suite.ts'

const removeDatabase = (name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.addEventListener('success', () => resolve())
    request.addEventListener('error', () => reject(request.error))
  })

/** An expert's files; its weights follow from the seed. */
async function makeExpert(manifest: object | undefined, seed: number): Promise<ExpertFiles> {
  const files = new Map<string, Uint8Array>()
  const adapter = createRole('reviewer', 8, { seed, baseModel: 'stories260k' })
  const { metadata: _metadata, ...plain } = adapter
  await saveAdapter(plain, {
    name: 'memory',
    async write(path, chunks) {
      const parts: Uint8Array<ArrayBuffer>[] = []
      for await (const chunk of chunks) parts.push(chunk.slice())
      files.set(path, new Uint8Array(await new Blob(parts).arrayBuffer()))
    },
  })
  if (manifest) files.set('expert.json', new TextEncoder().encode(JSON.stringify(manifest)))
  return files
}

type Content = NonNullable<WebRegistryOptions['content']>

/** The same content as the registry has it. */
async function useContent(name: string, content: Content) {
  const database = await RegistryDatabase.open(name)
  const store = content === 'opfs' ? await openOpfsContent(name) : database.createContent()
  return { store, close: () => database.close() }
}

let places = 0

function makePlace(content: Content): RegistryPlace<ExpertFiles> {
  const name = `registry-${content}-${places++}`
  return {
    open: () => openRegistry(name, { content }),
    makeExpert,
    async damage(location) {
      const { store, close } = await useContent(name, content)
      const hash = location.split('/').at(-1)!
      const bytes = (await store.read(hash)).get('adapter_model.safetensors')!
      bytes[bytes.length - 1]! ^= 1
      await store.write(hash, new Map([['adapter_model.safetensors', bytes]]))
      close()
    },
    async measure() {
      const { store, close } = await useContent(name, content)
      let sum = 0
      for (const hash of await store.list())
        for (const { length } of (await store.read(hash)).values()) sum += length
      close()
      return sum
    },
    async remove() {
      await removeDatabase(name)
      if (content === 'opfs')
        await (await navigator.storage.getDirectory()).removeEntry(name, { recursive: true })
    },
  }
}

for (const content of ['opfs', 'indexed-db'] as const) {
  describeRegistry(content, async () => makePlace(content))

  describe(`a registry in ${content}`, () => {
    it('gives an expert as loadAdapter takes it, bit for bit, also after it is opened again', async () => {
      const place = makePlace(content)
      const files = await makeExpert(createTestManifest(), 4)
      const first = await place.open()
      await first.add(files)
      await first.close()
      const again = await openRegistry(`registry-${content}-${places - 1}`, { content })
      const adapter = await loadAdapter(await again.open('coder'))
      const own = createRole('reviewer', 8, { seed: 4 })
      expect([...adapter.tensors].map(([key, { data }]) => [key, data])).toEqual(
        [...own.tensors].map(([key, { data }]) => [key, data]),
      )
      await again.close()
      await place.remove()
    })

    it('verifies signatures; an unsigned, changed or extra file fails by name', async () => {
      const place = makePlace(content)
      const registry = await openRegistry(`registry-${content}-${places - 1}`, { content })
      const { privatePem, publicPem } = await createKeyPair()
      const other = (await createKeyPair()).publicPem
      const files = new Map(await makeExpert(createTestManifest(), 5))
      await registry.add(files)
      await expect(registry.verifySignature('coder', [publicPem])).rejects.toThrow(/is not signed/)
      const key = await readSigningKey(privatePem)
      const resources = await listResources(listFiles(files), ['expert.sig'])
      const text = await signResources(resources, key, { name: 'coder', ignored: ['expert.sig'] })
      files.set('expert.sig', new TextEncoder().encode(text))
      await registry.add(files)
      expect((await registry.verifySignature('coder', [other, publicPem])).id).toBe('coder')
      const byOther = registry.verifySignature('coder', [other])
      await expect(byOther).rejects.toThrow(/not by a trusted key/)
      const extra = new Map(files).set('more.txt', Uint8Array.of(1))
      const verifying = verifyExpertFiles(extra, [publicPem])
      await expect(verifying).rejects.toThrow(SignatureError)
      await expect(verifying).rejects.toThrow(/"more\.txt": was not signed/)
      await registry.close()
      await place.remove()
    })

    it('refuses paths that lead out, a wrong option and no map, and keeps nothing of them', async () => {
      const place = makePlace(content)
      const registry = await place.open()
      const files = new Map(await makeExpert(undefined, 6))
      const out = new Map(files).set('../out', Uint8Array.of(1))
      await expect(registry.add(out, { id: 'a' })).rejects.toThrow(/leaves the folder/)
      await expect(registry.add(files, { name: 'a' } as never)).rejects.toThrow(OptionError)
      await expect(registry.add({} as never)).rejects.toThrow(/expected a Map/)
      await expect(registry.add(files)).rejects.toThrow(/has no name/)
      expect([await registry.list(), await place.measure()]).toEqual([[], 0])
      await registry.close()
      await expect(registry.list()).rejects.toThrow(StorageError)
      await place.remove()
    })
  })
}

describe('a registry in a browser', () => {
  it('of a newer Graft is refused', async () => {
    const request = indexedDB.open('registry-newer', 99)
    await new Promise((resolve) => request.addEventListener('success', resolve))
    request.result.close()
    await expect(openRegistry('registry-newer')).rejects.toThrow(/a newer version of Graft/)
    await removeDatabase('registry-newer')
  })
})

Object.assign(globalThis, { outcomes: runAll() })
