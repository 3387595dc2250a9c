// An expert by its name in a registry: its folder, as long as its files are those that were added.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { SignatureError } from '../../base/errors.ts'
import { createTestManifest } from '../../registry/registry.contract.ts'
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
    expect(await findRegistered('nobody', place.path)).toBeUndefined()
    appendFileSync(join(path, 'adapter_config.json'), ' ')
    await expect(findRegistered('coder', place.path)).rejects.toThrow(SignatureError)
  } finally {
    await registry.close()
    await places.remove()
  }
})
