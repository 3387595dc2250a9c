import { expect, it } from 'vitest'
import { createRegistryPlaces, killRepeatedly } from './places.testing.ts'

it('a registry is whole after 200 kills in the middle of add, remove, gc and publish', async () => {
  const places = await createRegistryPlaces()
  const place = await places.make()
  await killRepeatedly(place, places.seeds, 200)
  const registry = await place.open()
  expect((await registry.list()).length).toBeGreaterThan(0)
  await registry.close()
  await places.remove()
}, 1_200_000)
