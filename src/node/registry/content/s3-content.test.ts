// The registry whose index is in Postgres and whose files are in S3: the contract, machines that do
// not share a folder, signatures, damaged files, killed processes, full or unreachable stores.
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { NotFoundError, SignatureError, StorageError } from '../../../base/errors.ts'
import { describeRegistry } from '../../../registry/registry.contract.ts'
import {
  findPostgres,
  startPostgres,
  type TestPostgres,
} from '../../../../test/support/postgres.ts'
import { doubleKeys, type S3Double, startS3Double } from '../../../../test/support/s3-double.ts'
import { openRegistry } from '../open-registry.ts'
import { addTogether, createRegistryPlaces, type RegistryPlaces } from '../places.testing.ts'

const bin = findPostgres()
const title = bin === undefined ? 'S3 and Postgres [skip: postgresql is not installed]' : 'S3'
const tensorFile = 'adapter_model.safetensors'

describe.skipIf(bin === undefined)(title, () => {
  let server: TestPostgres
  let double: S3Double
  let places: RegistryPlaces
  beforeAll(async () => {
    for (const [name, value] of Object.entries(doubleKeys)) vi.stubEnv(name, value)
    const started = [startPostgres(bin!), startS3Double(), createRegistryPlaces()] as const
    ;[server, double, places] = await Promise.all(started)
  }, 120_000)
  afterAll(async () => {
    vi.unstubAllEnvs()
    await Promise.all([server.stop(), double.stop(), places.remove()])
  })

  /** A registry with its place in the bucket; each machine has copies of its own. */
  async function makeShared() {
    const place = await places.make()
    const [address, content] = [server.createAddress(), double.createAddress()]
    const prefix = decodeURIComponent(new URL(content).pathname.slice(1))
    const listKeys = () => [...double.objects.keys()].filter((key) => key.startsWith(prefix))
    let machines = 0
    const open = (machine = machines++) =>
      openRegistry(address, { content, copies: join(place.path, `${machine}`) })
    const findTensors = (hash: string) =>
      listKeys().find((key) => key.includes(hash) && key.endsWith(tensorFile))!
    const damage = async (location: string): Promise<void> => {
      const { bytes } = double.objects.get(findTensors(basename(location)))!
      bytes[bytes.length - 1]! ^= 1
    }
    const measure = async () =>
      listKeys().reduce((sum, key) => sum + double.objects.get(key)!.bytes.length, 0)
    return { ...place, open, damage, measure, content, address, listKeys, findTensors }
  }

  describeRegistry('S3 beside Postgres', makeShared)

  it('gives a machine the bytes that another one added, and keeps a copy', async () => {
    const place = await makeShared()
    const [one, other] = [await place.open(), await place.open()]
    const folder = await place.makeExpert(undefined, 1)
    const { hash } = await one.add(folder, { id: 'coder', version: '1.0.0' })
    const { location } = await other.resolve('coder')
    expect(location).toBe(join(place.path, '1', 'content', hash))
    expect(await readFile(join(location, tensorFile))).toEqual(
      await readFile(join(folder, tensorFile)),
    )
    double.objects.delete(place.findTensors(hash))
    expect((await other.resolve('coder')).location).toBe(location) // the copy
    await expect((await place.open()).resolve('coder')).rejects.toThrow(SignatureError)
    await expect(other.verify('coder')).rejects.toThrow(SignatureError)
    await one.add(folder, { id: 'coder', version: '1.0.0' })
    await other.verify('coder')
    await one.remove('coder')
    expect(await other.collectGarbage()).toBe(0)
    await expect(stat(location)).rejects.toThrow('ENOENT')
  })

  it('takes over the signature of content that it has without one, also in copies', async () => {
    const place = await makeShared()
    const [one, other] = [await place.open(), await place.open()]
    const folder = await place.makeExpert(undefined, 1)
    await one.add(folder, { id: 'plain', version: '1.0.0' })
    await other.resolve('plain')
    await writeFile(join(folder, 'expert.sig'), 'a signature')
    await one.add(folder, { id: 'signed', version: '1.0.0' })
    const { location } = await other.resolve('signed')
    expect(await readFile(join(location, 'expert.sig'), 'utf8')).toBe('a signature')
    expect(place.listKeys().filter((key) => key.endsWith(tensorFile))).toHaveLength(1)
  })

  it('keeps once what eight writers add at once, and loses nothing', async () => {
    const place = await makeShared()
    const writers = await Promise.all(Array.from({ length: 8 }, () => place.open()))
    const lists = await addTogether(writers, places.seeds, 2)
    expect(lists.flat()).toHaveLength(16)
    const files = place.listKeys().filter((key) => key.endsWith(tensorFile))
    expect(files).toHaveLength(2)
  })

  it('removes what killed uploads left after a day, and what another is uploading never', async () => {
    const place = await makeShared()
    const registry = await place.open()
    const { hash } = await registry.add(join(places.seeds, '1'), { id: 'a', version: '1.0.0' })
    const [list] = place.listKeys().filter((key) => key.endsWith(`${hash}.json`))
    const root = list!.slice(0, -'.json'.length)
    const put = (key: string, modified: string) =>
      double.objects.set(key, { bytes: Buffer.alloc(10), etag: '"x"', metadata: {}, modified })
    const old = new Date(Date.now() - 25 * 3_600_000).toISOString()
    const now = new Date().toISOString()
    put(`${root}/00-aa/left.bin`, old)
    put(`${root}/00-bb/uploading.bin`, now)
    put(`${root.replace(hash, 'f'.repeat(64))}/00-cc/left.bin`, old)
    expect(await registry.collectGarbage()).toBe(20)
    expect(place.listKeys().filter((key) => key.includes('left.bin'))).toEqual([])
    expect(place.listKeys().filter((key) => key.includes('uploading.bin'))).toHaveLength(1)
    await registry.verify('a')
  })

  it('reports in one line that it is full or unreachable, and does not change', async () => {
    const place = await makeShared()
    const registry = await place.open()
    double.isFull = true
    const adding = registry.add(join(places.seeds, '1'), { id: 'a', version: '1.0.0' })
    await expect(adding).rejects.toThrow(
      /^s3:\/\/graft\/\S+ b: cannot be written: the storage is full \(XMinioStorageFull\)\.$/,
    )
    double.isFull = false
    expect([await registry.list(), place.listKeys()]).toEqual([[], []])
    const gone = await startS3Double()
    const content = gone.createAddress()
    await gone.stop()
    const opening = openRegistry(place.address, { content, copies: place.path })
    await expect(opening).rejects.toThrow(/^s3:\/\/graft\/\S+ b: cannot be reached: [^\n]*$/)
    await expect(opening).rejects.toThrow(StorageError)
    await registry.add(join(places.seeds, '1'), { id: 'a', version: '1.0.0' })
    for (const key of place.listKeys()) double.objects.delete(key)
    await expect(registry.resolve('a')).rejects.toThrow(NotFoundError)
    await rm(place.path, { recursive: true })
  })

  it('refuses a list of files that leaves the folder', async () => {
    const place = await makeShared()
    const registry = await place.open()
    await registry.add(join(places.seeds, '1'), { id: 'a', version: '1.0.0' })
    const list = place.listKeys().find((key) => /[0-9a-f]{64}\.json$/.test(key))!
    const object = double.objects.get(list)!
    object.bytes = Buffer.from(object.bytes.toString().replace(tensorFile, '../../x'))
    await expect(registry.resolve('a')).rejects.toThrow('is not a list of files')
  })
})
