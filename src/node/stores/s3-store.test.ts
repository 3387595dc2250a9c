import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConflictError, FormatError, OptionError, StorageError } from '../../base/errors.ts'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import { doubleKeys, type S3Double, startS3Double } from '../../../test/support/s3-double.ts'
import { countTogether } from '../../../test/support/stores.ts'
import { openS3Store } from './s3-store.ts'

let double: S3Double
beforeAll(async () => {
  double = await startS3Double()
})
afterAll(() => double.stop())
const open = (address: string) => openS3Store(address, doubleKeys)

describeUserStore('S3', () => {
  const address = double.createAddress()
  return { open: () => open(address), remove: () => undefined }
})

describe('an S3 bucket of users', () => {
  it('loses nothing of eight writers: 200 of 200', { timeout: 240_000 }, async () => {
    const address = double.createAddress()
    const stores = await Promise.all(Array.from({ length: 8 }, () => open(address)))
    const { count, told } = await countTogether(stores, 25)
    expect(count).toBe(200)
    expect(told).toBeGreaterThan(0)
  })
  it('says in one line that it is full, and keeps the version before', async () => {
    const store = await open(double.createAddress())
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    double.isFull = true
    const put = store.put('ada', 'state', Uint8Array.of(2), version)
    await expect(put).rejects.toThrow(
      /^s3:\/\/graft\/\S+ b: cannot be written: the storage is full \(XMinioStorageFull\)\.$/,
    )
    await expect(put).rejects.toThrow(StorageError)
    double.isFull = false
    expect(await store.get('ada', 'state')).toEqual({ bytes: Uint8Array.of(1), version })
  })
  it('tries again where the server is busy or a connection breaks', async () => {
    const store = await open(double.createAddress())
    double.faults.push(503, 'broken')
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    double.faults.push(500)
    expect((await store.get('ada', 'state'))!.version).toBe(version)
  })
  it('takes a write whose answer was lost for what it is: done', async () => {
    const store = await open(double.createAddress())
    const first = await store.put('ada', 'state', Uint8Array.of(1))
    double.faults.push('answer lost')
    const second = await store.put('ada', 'state', Uint8Array.of(2), first)
    expect(await store.get('ada', 'state')).toEqual({ bytes: Uint8Array.of(2), version: second })
  })
  it('takes an object that is marked as deleted for none', async () => {
    const store = await open(double.createAddress())
    const version = await store.put('ada', 'state', Uint8Array.of(1))
    const before = new Map(double.objects)
    await store.delete('ada', 'state', version)
    const [key] = [...before.keys()].filter((name) => !double.objects.has(name))
    double.objects.set(key!, {
      bytes: Buffer.alloc(16),
      etag: '"marked"',
      metadata: { 'x-amz-meta-graft-deleted': '1' },
    })
    expect(await store.get('ada', 'state')).toBeUndefined()
    expect(await store.list('ada')).toEqual([])
    await expect(store.put('ada', 'state', Uint8Array.of(2), version)).rejects.toThrow(
      ConflictError,
    )
    await store.put('ada', 'state', Uint8Array.of(3), 0)
    expect((await store.get('ada', 'state'))!.bytes).toEqual(Uint8Array.of(3))
  })
  it('refuses objects of others, and calls after it was closed', async () => {
    const store = await open(double.createAddress())
    await store.put('ada', 'state', Uint8Array.of(1))
    const key = [...double.objects.keys()].at(-1)!
    double.objects.set(key, { bytes: Buffer.alloc(3), etag: '"x"', metadata: {} })
    await expect(store.get('ada', 'state')).rejects.toThrow(FormatError)
    await store.close()
    await expect(store.get('ada', 'state')).rejects.toThrow(StorageError)
  })
  it('that is away is reported in one line', async () => {
    const gone = await startS3Double()
    const address = gone.createAddress()
    const store = await open(address)
    await gone.stop()
    const line = /^s3:\/\/graft\/\S+ b: cannot be reached: [^\n]*ECONNREFUSED[^\n]*$/
    await expect(store.get('ada', 'state')).rejects.toThrow(line)
    await expect(open(address)).rejects.toThrow(line)
  })
  it("a missing bucket and wrong keys are reported with the server's message", async () => {
    const address = double.createAddress()
    await expect(open(address.replace('s3://graft/', 's3://other/'))).rejects.toThrow(
      /cannot be read: .*bucket does not exist \(NoSuchBucket\)/,
    )
    const stranger = { ...doubleKeys, AWS_SECRET_ACCESS_KEY: 'no' }
    await expect(openS3Store(address, stranger)).rejects.toThrow('(SignatureDoesNotMatch)')
  })
  it.each([
    ['s3:///x', 'names no bucket'],
    ['s3://Graft_/x', 'names no bucket'],
    ['s3://graft/x?regoin=eu', 'has the part "regoin"'],
    ['s3://graft/x?endpoint=127.0.0.1', 'its endpoint is 127.0.0.1'],
  ])('is refused as %s', async (address, message) => {
    await expect(open(address)).rejects.toThrow(message)
  })
  it('needs keys', async () => {
    await expect(openS3Store('s3://graft/x', {})).rejects.toThrow(OptionError)
    await expect(openS3Store('s3://graft/x', {})).rejects.toThrow('set AWS_ACCESS_KEY_ID')
  })
})
