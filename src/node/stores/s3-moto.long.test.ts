// Users in S3 as moto plays it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import { type Moto, motoKeys, motoSkip, startMoto } from '../../../test/support/moto.ts'
import { countTogether } from '../../../test/support/stores.ts'
import { openS3Store } from './s3-store.ts'

describe.skipIf(motoSkip)(`moto ${motoSkip ?? ''}`, () => {
  let moto: Moto
  beforeAll(async () => void (moto = await startMoto()), 120_000)
  afterAll(() => moto.stop())

  describeUserStore('S3 on moto', () => {
    const address = moto.createAddress()
    return { open: () => openS3Store(address, motoKeys), remove: () => undefined }
  })
  it('loses nothing of eight writers: 200 of 200', { timeout: 240_000 }, async () => {
    const address = moto.createAddress()
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => openS3Store(address, motoKeys)),
    )
    expect((await countTogether(stores, 25)).count).toBe(200)
  })
})
