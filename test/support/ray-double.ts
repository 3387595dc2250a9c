// A Ray head as its Jobs API answers (Ray 2.60): it refuses what Ray refuses, and runs a job as a
// function that is given the package's files.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface RayJobRun {
  /** The files of the package, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly entrypoint: string
  /** Adds a line to the log. */
  log(line: string): void
  /** Aborted by a stop. */
  readonly signal: AbortSignal
}

export interface RayDouble {
  readonly port: number
  readonly requests: string[]
  readonly stopped: string[]
  close(): Promise<void>
}

export interface RayDoubleOptions {
  readonly token?: string
  /** Resolves with the exit code; a rejection is a driver that broke. */
  run(job: RayJobRun): Promise<number>
}

interface JobState {
  status: string
  message: string
  logs: string
  readonly end: AbortController
}

/** Entries of a zip without compression. Throws for what is none. */
export function readZip(bytes: Buffer): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  let at = 0
  while (bytes.readUInt32LE(at) === 0x04034b50) {
    const size = bytes.readUInt32LE(at + 18)
    const start = at + 30 + bytes.readUInt16LE(at + 26)
    files.set(bytes.subarray(at + 30, start).toString(), bytes.subarray(start, start + size))
    at = start + size
  }
  if (bytes.readUInt32LE(at) !== 0x02014b50) throw new Error('no directory behind the files')
  return files
}

export async function openRayDouble({ token, run }: RayDoubleOptions): Promise<RayDouble> {
  const packages = new Map<string, Buffer>()
  const jobs = new Map<string, JobState>()
  const requests: string[] = []
  const stopped: string[] = []

  function start(entrypoint: string, uri: string): string {
    const id = `raysubmit_${jobs.size + 1}`
    const state: JobState = {
      status: 'RUNNING',
      message: '',
      logs: 'INFO worker.py:1841 -- Connecting to existing Ray cluster\n',
      end: new AbortController(),
    }
    jobs.set(id, state)
    const files = readZip(packages.get(uri.replace('gcs://', ''))!)
    const log = (line: string): void => void (state.logs += `${line}\n`)
    run({ files, entrypoint, log, signal: state.end.signal }).then(
      (code) => {
        if (state.status !== 'RUNNING') return
        state.status = code === 0 ? 'SUCCEEDED' : 'FAILED'
        if (code !== 0)
          state.message = `Job entrypoint command failed with exit code ${code}, last available logs (truncated to 20,000 chars):`
      },
      (error: unknown) => {
        state.status = 'FAILED'
        state.message = String(error)
      },
    )
    return id
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    requests.push(`${method} ${url}`)
    const send = (status: number, value: object | string): void => {
      response.statusCode = status
      response.end(typeof value === 'string' ? value : JSON.stringify(value))
    }
    if (token !== undefined && headers.authorization !== `Bearer ${token}`)
      return send(401, 'Unauthorized: Missing authentication token')
    const isBrowser = Object.keys(headers).some((name) => name.startsWith('sec-fetch'))
    if (isBrowser && method !== 'GET') return send(405, 'Method Not Allowed for browser traffic.')
    const [, name] = /^\/api\/packages\/gcs\/(.+)$/.exec(url) ?? []
    if (name !== undefined && method === 'GET') return send(packages.has(name) ? 200 : 404, '')
    if (name !== undefined) {
      packages.set(name, body)
      return send(200, '')
    }
    const [, id, rest = ''] = /^\/api\/jobs\/([^/]*)(\/.+)?$/.exec(url) ?? []
    if (method === 'POST' && id === '') {
      const asked = JSON.parse(body.toString()) as {
        entrypoint: string
        runtime_env: { working_dir: string }
      }
      const uri = asked.runtime_env.working_dir
      if (!packages.has(uri.replace('gcs://', ''))) return send(500, `no package ${uri}`)
      return send(200, { submission_id: start(asked.entrypoint, uri) })
    }
    const job = id === undefined ? undefined : jobs.get(id)
    if (!job) return send(404, `Job ${id} does not exist`)
    if (rest === '/logs') return send(200, { logs: job.logs })
    if (rest === '/stop' && method === 'POST') {
      job.status = 'STOPPED'
      stopped.push(id!)
      job.end.abort()
      return send(200, { stopped: true })
    }
    return send(200, { status: job.status, message: job.message, submission_id: id })
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.statusCode = 500
      response.end(String(error))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    stopped,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
