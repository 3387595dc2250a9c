// graft train --on ray://…: the manifests are checked here, trained on the cluster's machines, and
// followed as if they were trained here. What is trained is in the shared folder.

import { randomUUID } from 'node:crypto'
import { rm, stat, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { GraftError, OptionError, WorkerError } from '../../base/errors.ts'
import { makeDirectory } from '../../node/files/make-directory.ts'
import { chooseGraftCommand, readIsland } from '../../node/ray/island.ts'
import { parseRayAddress, type RayAddress } from '../../node/ray/ray-address.ts'
import { describeRayEnd, followRayJob, endRayJob, startRayJob } from '../../node/ray/ray-jobs.ts'
import { type Context, UsageError } from '../command.ts'
import { describePath } from '../shared/describe-path.ts'
import { defaultModel } from '../shared/open-model.ts'
import { planFromManifests } from './plan-runs.ts'
import { checkReplicas } from './replica-choice.ts'
import { createRayView } from './ray-view.ts'
import type { PlannedExpert } from './train-experts.ts'
import type { TrainOptionTable, TrainValues } from './train-option-table.ts'
import { trainOptions } from './train-options.ts'

/** Options of the client alone, and those that the cluster's side sets itself. */
const ownOptions = new Set(['on', 'shared', 'events', 'plan', 'resume', 'base-sha256', 'replicas'])

export async function trainOnRay(context: Context<TrainOptionTable>): Promise<unknown> {
  const { values, positionals, terminal, setExitCode } = context
  const address = parseRayAddress(values.on!, process.env)
  const shared = await checkShared(values.shared)
  const { replicas = 1 } = values
  if (values.plan) throw new UsageError('--plan is for a run on this machine: leave out --on.')
  if (positionals.length === 0)
    throw new UsageError(
      `--on trains from manifests: graft train expert.yaml --on ${values.on} --shared ${values.shared}`,
    )
  checkReplicas(values, positionals)
  const view = createRayView(
    terminal,
    positionals.map((path) => resolve(path)),
    values.events,
  )
  const planned = await planEach(values, positionals, shared, view.fail)
  if (planned.length > 0) {
    const job = await createJob(context, { planned, shared, address, replicas })
    await runJob(address, job, context, view.take)
  }
  const results = view.end()
  if (results.some((result) => result.reason !== 'finished')) setExitCode(1)
  return positionals.length === 1 ? results[0] : { experts: results }
}

/** Throws UsageError without a folder, OptionError for one that is not there. */
async function checkShared(given: string | undefined): Promise<string> {
  if (given === undefined)
    throw new UsageError(
      '--on needs --shared: the folder with manifests, rows and results, which every machine sees under the same path.',
    )
  const shared = resolve(given)
  if ((await stat(shared).catch(() => undefined))?.isDirectory()) return shared
  throw new OptionError(`--shared ${given}: is not a folder on this machine.`)
}

/** Each separately: a wrong manifest fails alone. */
async function planEach(
  values: TrainValues,
  paths: readonly string[],
  shared: string,
  fail: (manifest: string, error: Error) => void,
): Promise<PlannedExpert[]> {
  const planned: PlannedExpert[] = []
  for (const path of paths) {
    try {
      const [one] = await planFromManifests(values, [resolve(path)])
      checkPlaces(one!, shared)
      const twice = planned.find(({ run }) => run.out === one!.run.out)
      if (twice) throw new OptionError(`${path}: out is that of ${twice.manifest}, too.`)
      planned.push(one!)
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      fail(resolve(path), error)
    }
  }
  return planned
}

/** Throws OptionError for files that other machines would not see. */
function checkPlaces({ manifest, run }: PlannedExpert, shared: string): void {
  const outside = [manifest!, ...run.dataFiles, run.out].filter((path) =>
    relative(shared, resolve(path)).startsWith('..'),
  )
  if (outside.length === 0) return
  throw new OptionError(
    `${outside.join(', ')}: not in the shared folder ${shared}, so other machines do not see it. Put it there.`,
  )
}

interface JobParts {
  readonly planned: readonly PlannedExpert[]
  readonly shared: string
  readonly address: RayAddress
  readonly replicas: number
}

interface ClusterJob {
  readonly stop: string
  readonly [key: string]: unknown
}

/** What graft_ray.py reads. */
async function createJob(
  { values, version }: Context<TrainOptionTable>,
  { planned, shared, address, replicas }: JobParts,
): Promise<ClusterJob> {
  const stops = join(shared, '.graft-jobs')
  await makeDirectory(stops)
  const bases = new Map<string, { manifest: string; out: string; sha256: string | undefined }[]>()
  for (const { manifest, run } of planned) {
    const base = run.base ?? defaultModel
    const runs = bases.get(base) ?? []
    const sha256 = runs[0]?.sha256 ?? values['base-sha256'] ?? (await findBaseHash(base))
    bases.set(base, [...runs, { manifest: manifest!, out: run.out, sha256 }])
  }
  return {
    graft: chooseGraftCommand(address),
    version,
    shared,
    replicas,
    threads: values.threads,
    resume: values.resume,
    stop: join(stops, `${randomUUID()}.stop`),
    arguments: [...toArguments(values), ...chooseShards(values, planned)],
    groups: [...bases].map(([base, runs]) => ({ base, runs })),
  }
}

/** Of a base that is on this machine; others are taken as the workers find them. */
async function findBaseHash(base: string): Promise<string | undefined> {
  const [{ openBaseModel }, { resolveModel }] = await Promise.all([
    import('../../graph/base-model.ts'),
    import('../../node/models/resolve.ts'),
  ])
  const found = await resolveModel(base, { offline: true }).catch(() => undefined)
  return found && (await openBaseModel(found)).identity()
}

/** Without a number of shards there is one for each replica, as on one machine. */
const chooseShards = (
  { shards, replicas = 1 }: TrainValues,
  [first]: readonly PlannedExpert[],
): string[] =>
  replicas === 1 || shards !== undefined || first?.run.options.shards !== undefined
    ? []
    : ['--shards', String(replicas)]

/** The options as they were typed, for the command on the cluster. */
function toArguments(values: TrainValues): string[] {
  return Object.keys(trainOptions).flatMap((name) => {
    const value: unknown = values[name as keyof TrainValues]
    if (ownOptions.has(name) || value === undefined || value === false) return []
    if (value === true) return [`--${name}`]
    const all = Array.isArray(value) ? value : [value]
    return all.flatMap((one) => [`--${name}`, String(one)])
  })
}

/**
 * The first Ctrl-C lets every run end after its step, with a checkpoint; the second ends the job at
 * once. Throws WorkerError for a job that ended without saying why.
 */
async function runJob(
  address: RayAddress,
  job: ClusterJob,
  { signal, terminal }: Context<TrainOptionTable>,
  take: (event: Readonly<Record<string, unknown>>) => void,
): Promise<void> {
  const id = await startRayJob(address, {
    entrypoint: 'python graft_ray.py job.json',
    files: [
      ...(await readIsland()),
      { name: 'job.json', bytes: new TextEncoder().encode(JSON.stringify(job)) },
    ],
  })
  terminal.note(`Ray job ${id} at ${address.url}`)
  const askStop = (): void => void writeFile(job.stop, '').catch(() => endRayJob(address, id))
  const stopAtOnce = (): void => void endRayJob(address, id).finally(() => process.exit(130))
  if (signal.aborted) askStop()
  signal.addEventListener('abort', () => {
    askStop()
    process.prependListener('SIGINT', stopAtOnce)
  })
  try {
    const events = followRayJob(address, id)
    let next = await events.next()
    let isEnded = false
    for (; !next.done; next = await events.next()) {
      isEnded ||= next.value['type'] === 'job-end'
      take(next.value)
    }
    if (isEnded) return
    throw new WorkerError(
      `${describeRayEnd(id, next.value)} Results so far are in ${describePath(String(job['shared']))}; continue with --resume.`,
    )
  } finally {
    process.removeListener('SIGINT', stopAtOnce)
    await rm(job.stop, { force: true })
  }
}
