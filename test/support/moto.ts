// S3 as moto implements it, independent of our double: GRAFT_MOTO=/path/to/python with
// moto[server].

import { spawn, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { signRequest } from '../../src/node/stores/s3-signature.ts'

export interface Moto {
  /** An address with a prefix of its own. */
  createAddress(): string
  stop(): void
}

export const motoKeys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }

const python = process.env['GRAFT_MOTO'] ?? 'python3'

/** Why the tests are skipped here; undefined where moto is installed. */
export const motoSkip =
  spawnSync(python, ['-c', 'import moto.server, flask']).status === 0
    ? undefined
    : '[skip: moto with its server is not installed; set GRAFT_MOTO]'

/** One request at a time: moto shows an object before it has its metadata, which S3 never does. */
const serverCode = `import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)`

/** Starts a server on loopback with the bucket "graft". */
export async function startMoto(): Promise<Moto> {
  const port = 20_000 + (process.pid % 20_000)
  const endpoint = `http://127.0.0.1:${port}`
  const server = spawn(python, ['-c', serverCode, `${port}`], { stdio: 'ignore' })
  while (!(await createBucket(endpoint))) await sleep(200)
  let places = 0
  return {
    createAddress: () => `s3://graft/place-${places++}?endpoint=${encodeURIComponent(endpoint)}`,
    stop: () => void server.kill('SIGKILL'),
  }
}

async function createBucket(endpoint: string): Promise<boolean> {
  const url = new URL(`${endpoint}/graft`)
  const request = { method: 'PUT', url, headers: {}, body: new Uint8Array(0) }
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  const headers = signRequest(request, credentials, 'us-east-1', new Date())
  return fetch(url, { method: 'PUT', headers }).then(
    ({ ok }) => ok,
    () => false,
  )
}
