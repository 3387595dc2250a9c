// An expert by its name in a registry: its folder, as long as its files are those that were added.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { baseHashKey } from '../../adapters/base-copy.ts'
import { SignatureError } from '../../base/errors.ts'
import { createTestManifest } from '../../registry/registry.contract.ts'
import { locateAdapter, readLocatedAdapter } from '../located-adapter.ts'
import { findRegistered } from './find-registered.ts'
import { createRegistryPlaces } from './places.testing.ts'

it('hands out a folder by name, and none whose files were changed', async () => {
  const places = await createRegistryPlaces()
  const place = await places.make()
  const registry = await place.open()
  try {
    await registry.add(await place.makeExpert(createTestManifest({ id: 'coder' }), 1))
    const path = (await findRegistered('coder', place.path))!
    expect(path).toBe((await registry.resolve('coder')).location)
    const other = createTestManifest({ id: 'other', base: { id: 'b', sha256: 'a'.repeat(64) } })
    await registry.add(await place.makeExpert(other, 2))
    const located = await locateAdapter((await findRegistered('other', place.path))!)
    const { metadata } = await readLocatedAdapter(located, {} as never)
    expect(metadata?.[baseHashKey]).toBe('a'.repeat(64)) // compared with the base that is opened
    expect(await findRegistered('nobody', place.path)).toBeUndefined()
    appendFileSync(join(path, 'adapter_config.json'), ' ')
    await expect(findRegistered('coder', place.path)).rejects.toThrow(SignatureError)
  } finally {
    await registry.close()
    await places.remove()
  }
})
