// The same suite on moto, which is not ours: GRAFT_MOTO=/path/to/python with moto[server].
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeUserStore } from '../../learn/store/user-store.contract.ts'
import { countTogether } from '../../../test/support/stores.ts'
import { signRequest } from './s3-signature.ts'
import { openS3Store } from './s3-store.ts'

const python = process.env['GRAFT_MOTO'] ?? 'python3'
const isInstalled = spawnSync(python, ['-c', 'import moto.server, flask']).status === 0
const title = isInstalled
  ? 'moto'
  : 'moto [skip: moto with its server is not installed; set GRAFT_MOTO]'
const port = 20_000 + (process.pid % 20_000)
const endpoint = `http://127.0.0.1:${port}`
const keys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }

async function createBucket(): Promise<boolean> {
  const url = new URL(`${endpoint}/graft`)
  const request = { method: 'PUT', url, headers: {}, body: new Uint8Array(0) }
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const headers = signRequest(request, credentials, 'us-east-1', new Date())
  return fetch(url, { method: 'PUT', headers }).then(
    ({ ok }) => ok,
    () => false,
  )
}

describe.skipIf(!isInstalled)(title, () => {
  let server: ChildProcess
  let places = 0
  const createAddress = (): string =>
    `s3://graft/place-${places++}?endpoint=${encodeURIComponent(endpoint)}`
  beforeAll(async () => {
    const code = `from moto.server import main; main(['-H', '127.0.0.1', '-p', '${port}'])`
    server = spawn(python, ['-c', code], { stdio: 'ignore' })
    while (!(await createBucket())) await sleep(200)
  }, 60_000)
  afterAll(() => void server.kill('SIGKILL'))

  describeUserStore('S3 on moto', () => {
    const address = createAddress()
    return { open: () => openS3Store(address, keys), remove: () => undefined }
  })
  it('loses nothing of eight writers: 200 of 200', { timeout: 120_000 }, async () => {
    const address = createAddress()
    const stores = await Promise.all(Array.from({ length: 8 }, () => openS3Store(address, keys)))
    expect((await countTogether(stores, 25)).count).toBe(200)
  })
})
