// Ray's Jobs API: a package of files is sent once under its own hash, a job runs a command in it,
// and its log is read while it grows.

import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isRecord } from '../../base/schema.ts'
import { StorageError, WorkerError } from '../../base/errors.ts'
import type { RayAddress } from './ray-address.ts'
import { callRay, requireRay } from './ray-request.ts'
import { createZip, type ZipEntry } from './zip.ts'

export interface RayJob {
  /** What runs, in the folder of the files. */
  readonly entrypoint: string
  readonly files: readonly ZipEntry[]
  readonly environment?: Readonly<Record<string, string>> | undefined
}

export interface RayJobEnd {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'STOPPED'
  readonly message: string
  /** The last lines of its log. */
  readonly log: string
}

const endStates: readonly string[] = ['SUCCEEDED', 'FAILED', 'STOPPED']
const pollMs = 250

/** Sends the files where the cluster does not have them yet; gives the package's address there. */
async function sendPackage(address: RayAddress, files: readonly ZipEntry[]): Promise<string> {
  const bytes = createZip(files)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const name = `_ray_pkg_${hash}.zip`
  const path = `packages/gcs/${name}`
  const { status } = await callRay(address, { method: 'GET', path })
  if (status !== 200) await requireRay(address, { method: 'PUT', path, body: bytes })
  return `gcs://${name}`
}

/** The id of the job. Throws WorkerError, StorageError. */
export async function startRayJob(
  address: RayAddress,
  { entrypoint, files, environment = {} }: RayJob,
): Promise<string> {
  const workingDirectory = await sendPackage(address, files)
  const text = await requireRay(address, {
    method: 'POST',
    path: 'jobs/',
    body: {
      entrypoint,
      runtime_env: { working_dir: workingDirectory, env_vars: environment },
      metadata: { submitted_by: 'graft' },
    },
  })
  const { submission_id: id } = JSON.parse(text) as { submission_id?: string }
  if (id === undefined) throw new StorageError(`The Ray head at ${address.url} gave no job id.`)
  return id
}

/** Ends a job at once; its processes end with it. */
export const endRayJob = (address: RayAddress, id: string): Promise<string> =>
  requireRay(address, { method: 'POST', path: `jobs/${id}/stop` })

/** The job's events, one for each line of JSON in its log, then how it ended. */
export async function* followRayJob(
  address: RayAddress,
  id: string,
): AsyncGenerator<Readonly<Record<string, unknown>>, RayJobEnd> {
  let shown = 0
  let failures = 0
  for (;;) {
    let state: { status: string; message?: string }
    let logs: string
    const asked = performance.now()
    try {
      state = JSON.parse(
        await requireRay(address, { method: 'GET', path: `jobs/${id}` }),
      ) as typeof state
      const text = await requireRay(address, { method: 'GET', path: `jobs/${id}/logs` })
      logs = (JSON.parse(text) as { logs: string }).logs
      failures = 0
    } catch (error) {
      // a busy head occasionally misses a call
      if (++failures > 20 || !(error instanceof WorkerError)) throw error
      await sleep(pollMs * 4)
      continue
    }
    const isOver = endStates.includes(state.status)
    const end = isOver ? logs.length : logs.lastIndexOf('\n') + 1
    yield* parseEvents(logs.slice(shown, end))
    shown = Math.max(shown, end)
    if (isOver)
      return {
        status: state.status as RayJobEnd['status'],
        message: state.message ?? '',
        log: logs.slice(-2000),
      }
    // Ray sends the whole log each time: a long one is read less often.
    await sleep(Math.max(pollMs, 9 * (performance.now() - asked)))
  }
}

/** Ray's own lines between the events are left out. */
function* parseEvents(text: string): Generator<Readonly<Record<string, unknown>>, void> {
  for (const line of text.split('\n')) {
    if (!line.startsWith('{')) continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue
    }
    if (isRecord(value)) yield value
  }
}

/** One line on why a job ended without reporting it. */
export function describeRayEnd(id: string, { status, message, log }: RayJobEnd): string {
  if (status === 'STOPPED') return `The Ray job ${id} was stopped.`
  const lines = `${message}\n${log}`.split('\n').map((line) => line.trim())
  const told = lines.findLast((line) => /^[\w.]*(Error|Exception)\b/.test(line))
  const last = lines.findLast((line) => line !== '' && !/^=+\.?$/.test(line))
  return `The Ray job ${id} failed: ${told ?? last ?? 'it prints nothing'}.`
}
