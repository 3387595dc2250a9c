// A server's training jobs: in its state folder, trained on the base that it serves.

import { join, resolve, sep } from 'node:path'
import { integer, type OptionFields, readOptions } from '../../../base/schema.ts'
import { replaceMethods } from '../../../server/accounts/replace-methods.ts'
import type { JobService } from '../../../server/api/jobs/job-service.ts'
import type { Service } from '../../../server/service.ts'
import { withLockOrError } from '../../files/lock.ts'
import type { TrainShare } from '../../jobs/train-share.ts'
import { TuningRunner, type TuningParts } from '../../jobs/tuning/tuning-runner.ts'
import type { LocalRegistry } from '../../registry/local-registry.ts'
import type { OpenedFiles } from './open-files.ts'

export interface ServeJobsOptions {
  /** Training jobs that wait or run. Default 16. */
  readonly maxJobs?: number | undefined
}

export const jobsFields = {
  maxJobs: integer({
    from: 0,
    default: 16,
    about: 'training jobs of clients that wait or run; more are refused with 429; 0: none',
  }),
} satisfies OptionFields<ServeJobsOptions>

export interface JobPlaces {
  readonly opened: OpenedFiles
  readonly service: Service
  readonly registry: LocalRegistry | undefined
  /** The base as it was asked for. */
  readonly source: string
  readonly share: TrainShare
  /** Whether only signed experts are loaded, which results are not. */
  readonly needsSignature: boolean
  readonly onFailure: TuningParts['onFailure']
}

export interface OpenedJobs {
  readonly jobs: JobService
  /** The service without the paths of results. */
  readonly service: Service
  /** Ends what runs, so that the next start continues it. */
  close(): Promise<void>
}

/** Continues jobs of an earlier run, unless another process does. */
export async function openJobs(places: JobPlaces, options: ServeJobsOptions): Promise<OpenedJobs> {
  const { maxJobs } = readOptions('Server options', options, jobsFields)
  const { opened, service, registry, source, share, needsSignature, onFailure } = places
  const folder = resolve(join(opened.folder, 'jobs'))
  const hold = await reserveFolder(folder)
  const runner = new TuningRunner({
    folder,
    files: opened.files,
    service,
    registry,
    source,
    share,
    maxJobs,
    refusal: findRefusal(maxJobs, needsSignature, hold.holder),
    now: Date.now,
    createId: (prefix) => prefix + crypto.randomUUID().replaceAll('-', ''),
    onFailure,
  })
  if (hold.holder === undefined) await runner.begin()
  return {
    jobs: runner,
    service: hidePlaces(service, folder),
    async close() {
      await runner.close()
      await hold.release()
    },
  }
}

function findRefusal(
  maxJobs: number,
  needsSignature: boolean,
  holder: string | undefined,
): string | undefined {
  if (maxJobs === 0) return 'This server takes no training jobs: it was started with --max-jobs 0.'
  if (needsSignature)
    return 'This server loads signed experts only (--require-signed), and results of jobs are not signed.'
  if (holder === undefined) return undefined
  return `The process ${holder} takes the training jobs of this state folder. Ask it, or give this server its own --state.`
}

/** One process at a time runs the jobs of a folder. */
async function reserveFolder(
  folder: string,
): Promise<{ readonly holder: string | undefined; release(): Promise<void> }> {
  const held = Promise.withResolvers<string | undefined>()
  const end = Promise.withResolvers<void>()
  let holder: string | undefined
  const holding = withLockOrError(
    join(folder, 'lock'),
    (other) => {
      holder = other
      return new Error(other)
    },
    () => {
      held.resolve(undefined)
      return end.promise
    },
  ).catch((error: unknown) => {
    if (holder === undefined) held.reject(error)
    held.resolve(holder)
  })
  return {
    holder: await held.promise,
    async release() {
      end.resolve()
      await holding
    },
  }
}

/** Clients must not learn where results are. */
const hidePlaces = (service: Service, folder: string): Service =>
  replaceMethods(service, {
    listExperts: async () =>
      (await service.listExperts()).map((one) =>
        one.path?.startsWith(folder + sep) ? Object.assign({}, one, { path: undefined }) : one,
      ),
  })
