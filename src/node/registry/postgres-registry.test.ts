// The registry whose index is in Postgres: the contract, and what is refused.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeRegistry } from '../../registry/registry.contract.ts'
import { findPostgres, startPostgres, type TestPostgres } from '../../../test/support/postgres.ts'
import { openRegistry } from './open-registry.ts'
import { createRegistryPlaces, type RegistryPlaces } from './places.testing.ts'
import { splitPostgresAddress } from './postgres-address.ts'

const bin = findPostgres()
const title = bin === undefined ? 'Postgres [skip: postgresql is not installed]' : 'Postgres'

describe.skipIf(bin === undefined)(title, () => {
  let server: TestPostgres
  let places: RegistryPlaces
  beforeAll(async () => {
    server = await startPostgres(bin!)
    places = await createRegistryPlaces()
  }, 120_000)
  afterAll(async () => {
    await server.stop()
    await places.remove()
  })

  describeRegistry('Postgres beside a shared folder', async () => {
    const place = await places.make()
    const address = server.createAddress()
    return { ...place, open: () => openRegistry(address, { content: place.path }) }
  })
  it('takes the folder from the address, and keeps what is being added elsewhere', async () => {
    const place = await places.make()
    const address = `${server.createAddress()}&content=${encodeURIComponent(place.path)}`
    const [one, other] = [await openRegistry(address), await openRegistry(address)]
    await one.add(await place.makeExpert(undefined, 1), { id: 'coder', version: '1.0.0' })
    expect((await other.resolve('coder')).location).toContain(place.path)
    expect(await other.collectGarbage()).toBe(0)
    for (const registry of [one, other]) await registry.close()
  })
})

describe('a registry at postgres://…', () => {
  it('needs a folder for its files', async () => {
    await expect(openRegistry('postgres://127.0.0.1:1/x')).rejects.toThrow(
      'needs a place for its files that all machines see: ?content=/mnt/experts or ?content=s3://',
    )
    await expect(openRegistry('/tmp/registry', { content: '/tmp/x' })).rejects.toThrow(
      'content is for a registry at postgres://',
    )
  })
  it('keeps the other parts of its address', () => {
    const address = 'postgres://db/x?options=-csearch_path%3Ds1&content=%2Fmnt%2Fa%20b&host=%2Frun'
    expect(splitPostgresAddress(address)).toEqual({
      location: 'postgres://db/x?options=-csearch_path%3Ds1&host=%2Frun',
      content: '/mnt/a b',
    })
  })
})
