// A registry whose files are in S3 as moto plays it, with its index in Postgres.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { describeRegistry } from '../../../registry/registry.contract.ts'
import { type Moto, motoKeys, motoSkip, startMoto } from '../../../../test/support/moto.ts'
import {
  findPostgres,
  startPostgres,
  type TestPostgres,
} from '../../../../test/support/postgres.ts'
import { openS3Bucket } from '../../stores/s3-client.ts'
import { openRegistry } from '../open-registry.ts'
import { addTogether, createRegistryPlaces, type RegistryPlaces } from '../places.testing.ts'

const bin = findPostgres()
const skipped = motoSkip ?? (bin === undefined ? '[skip: postgresql is not installed]' : undefined)

describe.skipIf(skipped)(`moto ${skipped ?? ''}`, () => {
  let server: TestPostgres
  let moto: Moto
  let places: RegistryPlaces
  beforeAll(async () => {
    for (const [name, value] of Object.entries(motoKeys)) vi.stubEnv(name, value)
    const started = [startPostgres(bin!), startMoto(), createRegistryPlaces()] as const
    ;[server, moto, places] = await Promise.all(started)
  }, 240_000)
  afterAll(async () => {
    vi.unstubAllEnvs()
    moto.stop()
    await Promise.all([server.stop(), places.remove()])
  })

  async function makeShared() {
    const place = await places.make()
    const [address, content] = [server.createAddress(), moto.createAddress()]
    const bucket = await openS3Bucket(content)
    const list = async () => (await bucket.list('')).keys
    let machines = 0
    return {
      ...place,
      open: () => openRegistry(address, { content, copies: join(place.path, `${machines++}`) }),
      async damage() {
        const file = (await list()).find(({ key }) => key.endsWith('model.safetensors'))!.key
        const { bytes } = (await bucket.get(file))!
        bytes[bytes.length - 1]! ^= 1
        await bucket.put(file, { bytes })
      },
      measure: async () => (await list()).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      list,
    }
  }

  describeRegistry('S3 on moto beside Postgres', makeShared)

  it('loses nothing of eight writers: 200 of 200', { timeout: 600_000 }, async () => {
    const place = await makeShared()
    const registries = await Promise.all(Array.from({ length: 8 }, () => place.open()))
    const lists = await addTogether(registries, places.seeds, 25)
    expect(lists.flat()).toHaveLength(200)
    const files = (await place.list()).filter(({ key }) => key.endsWith('model.safetensors'))
    expect(files).toHaveLength(12) // what two uploaded at once is there once
    for (const { id, version } of lists[0]!) await registries[1]!.verify(`${id}@${version}`)
    for (const registry of registries) await registry.close()
  })
})
