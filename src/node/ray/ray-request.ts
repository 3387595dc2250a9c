// Requests to a Ray head. They do not use fetch(), because it sends Sec-Fetch-Mode, and Ray then
// treats POST, PUT and DELETE as a browser's requests and refuses them (status 405).

import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { StorageError, WorkerError } from '../../base/errors.ts'
import { findErrorCode } from '../files/system-errors.ts'
import type { RayAddress } from './ray-address.ts'

export interface RayReply {
  readonly status: number
  readonly text: string
}

export interface RayAsk {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Below the dashboard's `/api/`. */
  readonly path: string
  /** An object is sent as JSON, bytes as they are. */
  readonly body?: object | Uint8Array | undefined
}

const patienceMs = 30_000

/** Throws WorkerError if the head does not answer. */
export function callRay(address: RayAddress, { method, path, body }: RayAsk): Promise<RayReply> {
  const isBytes = body instanceof Uint8Array
  const bytes = body === undefined || isBytes ? body : Buffer.from(JSON.stringify(body))
  const headers: Record<string, string | number> = {}
  if (address.token !== undefined) headers['authorization'] = `Bearer ${address.token}`
  if (bytes) {
    headers['content-type'] = isBytes ? 'application/octet-stream' : 'application/json'
    headers['content-length'] = bytes.length
  }
  const start = address.url.startsWith('https:') ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void => reject(describeAbsence(address, cause))
    const asked = start(`${address.url}/api/${path}`, { method, headers }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', fail)
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
      )
    })
    asked.setTimeout(patienceMs, () => asked.destroy(new Error('no answer within 30 s')))
    asked.on('error', fail)
    asked.end(bytes)
  })
}

const describeAbsence = ({ url }: RayAddress, cause: Error): WorkerError =>
  new WorkerError(
    `The Ray head at ${url} does not answer: ${findErrorCode(cause) ?? cause.message}.`,
    {
      cause,
    },
  )

/** Throws StorageError with the head's message for a status other than success. */
export async function requireRay(address: RayAddress, ask: RayAsk): Promise<string> {
  const { status, text } = await callRay(address, ask)
  if (status < 300) return text
  if (status === 401 || status === 403)
    throw new StorageError(
      `The Ray head at ${address.url} refuses the token in RAY_AUTH_TOKEN (status ${status}).`,
    )
  throw new StorageError(
    `The Ray head at ${address.url} refuses ${ask.method} ${ask.path}: status ${status}, ${text.trim().slice(0, 300)}`,
  )
}
