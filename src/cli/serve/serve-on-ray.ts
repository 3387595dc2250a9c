// graft serve --on ray://…: servers on the cluster's machines behind one address there, followed
// until Ctrl-C. The experts are the folders of one folder that every machine sees.

import { randomUUID } from 'node:crypto'
import { copyFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { NotFoundError, OptionError, WorkerError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { makeDirectory } from '../../node/files/make-directory.ts'
import { chooseGraftCommand, readIsland } from '../../node/ray/island.ts'
import { parseRayAddress, type RayAddress } from '../../node/ray/ray-address.ts'
import { describeRayEnd, followRayJob, endRayJob, startRayJob } from '../../node/ray/ray-jobs.ts'
import { type Context, UsageError } from '../command.ts'
import { routedModel } from '../../server/routing/route-service.ts'
import { defaultModel } from '../shared/open-model.ts'
import { serverOptions, type ServeValues } from './server-options.ts'

type ServeContext = Context<typeof serverOptions>

/** What the gate and the replicas themselves set. */
const ownOptions = new Set([
  'on',
  'adapters',
  'replicas',
  'resident',
  'host',
  'port',
  'state',
  'adapter-folder',
  'log',
  'router',
])

/** Options that need one place for all servers. */
const refusedOptions = ['adapter', 'registry', 'backend', 'url', 'shared', 'route-log'] as const

export async function serveOnRay(context: ServeContext): Promise<unknown> {
  const { values, terminal, signal } = context
  const address = parseRayAddress(values.on!, process.env)
  const job = await createServeJob(context, address)
  const id = await startRayJob(address, {
    entrypoint: 'python graft_serve.py job.json',
    // a busy head needs more than the usual 5 s to start what listens
    environment: { RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S: '60' },
    files: [
      ...(await readIsland()),
      { name: 'job.json', bytes: new TextEncoder().encode(JSON.stringify(job)) },
    ],
  })
  terminal.note(`Ray job ${id} at ${address.url}`)
  const askStop = (): void => void writeFile(job.stop, '').catch(() => endRayJob(address, id))
  if (signal.aborted) askStop()
  signal.addEventListener('abort', askStop)
  try {
    const events = followRayJob(address, id)
    let next = await events.next()
    let isStopped = false
    for (; !next.done; next = await events.next()) {
      const { type, error } = next.value
      if (type === 'serving') showAddress(context, job)
      if (type === 'failed')
        throw new WorkerError(isRecord(error) ? String(error['message']) : 'The job failed.')
      isStopped ||= type === 'job-end'
    }
    if (!isStopped) throw new WorkerError(describeRayEnd(id, next.value))
    return { job: id, url: `http://${job.host}:${job.port}` }
  } finally {
    signal.removeEventListener('abort', askStop)
    await rm(job.stop, { force: true })
    await rm(`${job.stop}.router.json`, { force: true })
  }
}

interface ServeJob {
  readonly host: string
  readonly port: number
  readonly stop: string
  readonly bases: readonly string[]
  readonly replicas: readonly [number, number]
  readonly resident: number
  readonly [key: string]: unknown
}

/** What graft_serve.py reads. Throws UsageError and OptionError for options that do not fit. */
async function createServeJob(
  { values, positionals, version }: ServeContext,
  address: RayAddress,
): Promise<ServeJob> {
  const stray = refusedOptions.find((name) => isGiven(values, name))
  if (stray !== undefined)
    throw new UsageError(
      `--${stray}: not with --on. Experts are the folders of --adapters; registries and logs of routes are of one machine: graft serve --${stray} … without --on.`,
    )
  const adapters = await checkAdapters(values.adapters)
  await checkUsers(values)
  const host = values.host ?? '127.0.0.1'
  const key = process.env['GRAFT_SERVE_KEY']
  if (!/^(127\.0\.0\.1|localhost|::1)$/.test(host) && !key && !values['without-keys'])
    throw new OptionError(
      `--host ${host}: other machines can reach it, and there is no key. Set GRAFT_SERVE_KEY, or give --without-keys.`,
    )
  const base = positionals[0] ?? defaultModel
  const stops = join(adapters, '.graft-jobs')
  await makeDirectory(stops)
  const stop = join(stops, `${randomUUID()}.stop`)
  const router = await shareRouter(values.router, adapters, `${stop}.router.json`)
  const command = [
    ...chooseGraftCommand(address),
    'serve',
    base,
    '--port',
    '{port}',
    '--state',
    '{state}',
    '--adapter-folder',
    adapters,
    '--registry',
    'none',
    '--log',
    'off',
    ...router,
    ...toArguments(values),
  ]
  return {
    graft: chooseGraftCommand(address),
    command,
    version,
    adapters,
    shared: adapters,
    bases: [base, ...(values.alias ?? []), 'base', ...(values.router ? [routedModel] : [])],
    learns: values.users !== undefined,
    replicas: parseReplicas(values.replicas),
    resident: values.resident ?? 32,
    ongoing: values['max-rows'] ?? 8,
    threads: values.threads,
    host,
    port: values.port ?? 8080,
    key,
    stop,
  }
}

const isGiven = (values: ServeValues, name: (typeof refusedOptions)[number]): boolean => {
  const value: unknown = values[name]
  return value !== undefined && value !== false && value !== 'graft'
}

async function checkAdapters(given: string | undefined): Promise<string> {
  if (given === undefined)
    throw new UsageError(
      '--on needs --adapters: the folder of experts, which every machine sees under the same path.',
    )
  const folder = resolve(given)
  if ((await stat(folder).catch(() => undefined))?.isDirectory()) return folder
  throw new OptionError(`--adapters ${given}: is not a folder on this machine.`)
}

/**
 * Throws UsageError for users that servers could not share, StorageError if their store is away.
 */
async function checkUsers({ learn, users }: ServeValues): Promise<void> {
  const isShared = users !== undefined && /^(postgres(ql)?|s3):\/\//i.test(users)
  if (!isShared && (learn || users !== undefined))
    throw new UsageError(
      `--${users === undefined ? 'learn' : 'users'}: with --on the servers share their users: --users postgres://… or s3://….`,
    )
  if (!isShared) return
  const { openUserStore } = await import('../../node/stores/open-user-store.ts')
  await (await openUserStore(users)).close()
}

/**
 * The router's file next to the experts, where every machine sees it, and its experts, which each
 * server loads. Throws NotFoundError for one that is no folder there.
 */
async function shareRouter(
  path: string | undefined,
  adapters: string,
  copy: string,
): Promise<readonly string[]> {
  if (path === undefined) return []
  const { readRouterFile } = await import('../../node/route/router-path.ts')
  const { file } = await readRouterFile(path)
  const names = file.experts.map(({ name }) => name).filter((name) => name !== 'base')
  for (const name of names)
    if (!(await stat(join(adapters, name, 'adapter_config.json')).catch(() => undefined)))
      throw new NotFoundError(
        `--router ${path}: its expert "${name}" has no folder in ${adapters}. Put it there, or train the router again.`,
      )
  await copyFile(path, copy)
  return [
    ...names.flatMap((name) => ['--adapter', `${name}=${join(adapters, name)}`]),
    '--router',
    copy,
  ]
}

/** '4', or '2..16': from the least to the most. */
export function parseReplicas(text = '2'): readonly [number, number] {
  const [, least, most = least] = /^(\d+)(?:\.\.(\d+))?$/.exec(text) ?? []
  const range = [Number(least), Number(most)] as const
  if (range[0] >= 1 && range[1] >= range[0]) return range
  throw new UsageError(`--replicas: got ${text}, expected a number or a range such as 2..16`)
}

/** Options of the servers themselves, as they were typed. */
function toArguments(values: ServeValues): string[] {
  return Object.keys(serverOptions).flatMap((name) => {
    const value: unknown = values[name as keyof ServeValues]
    if (ownOptions.has(name) || refusedOptions.some((one) => one === name)) return []
    const usual = (serverOptions as Record<string, { readonly default?: unknown }>)[name]?.default
    if (value === undefined || value === false || value === usual) return []
    if (value === true) return [`--${name}`]
    const all = Array.isArray(value) ? value : [value]
    return all.flatMap((one) => [`--${name}`, String(one)])
  })
}

async function showAddress({ terminal }: ServeContext, job: ServeJob): Promise<void> {
  const { strong, faint } = terminal.style
  const folders = await readdir(String(job['adapters']))
  const experts = folders.filter((name) => !name.startsWith('.'))
  const [least, most] = job.replicas
  const servers = least === most ? String(least) : `${least} to ${most}`
  for (const line of [
    `Serving ${strong(job.bases[0]!)} at ${strong(`http://${job.host}:${job.port}/v1`)} on the head's machine`,
    '',
    `  servers  ${servers}, each with ${job.resident} experts at a time`,
    `  experts  ${experts.length} in ${String(job['adapters'])}`,
    `  access  ${job['key'] === undefined ? 'everybody who can reach it' : 'the key in GRAFT_SERVE_KEY'}`,
    '',
    faint('Ctrl-C stops it.'),
  ])
    terminal.say(line)
}
