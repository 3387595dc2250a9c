// A server's router: read from its file, checked against the experts that are served, and placed in
// front of the service, in the thread of the model.

import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { OptionError } from '../../base/errors.ts'
import { createRouter } from '../../route/create-router.ts'
import { findEncoderName } from '../../route/features/embedder-settings.ts'
import { computeHitRate, Preloader, type PreloadStatistics } from '../../route/preload/preloader.ts'
import type { RoutedExpert } from '../../route/router.ts'
import { createRoutedService } from '../../server/routing/route-service.ts'
import type { Service } from '../../server/service.ts'
import type { AdapterPool } from '../../runtime/engine/pool/adapter-pool.ts'
import type { LoadedModel } from '../model.ts'
import { readRoutedExpert } from '../route/list-experts.ts'
import { openTextEncoder } from '../route/open-encoder.ts'
import { readRouterFile } from '../route/router-path.ts'
import type { RoutingTask } from './routing-options.ts'

export interface OpenRoutingParts {
  readonly routing: RoutingTask
  readonly adapters: readonly { readonly name: string; readonly path: string }[]
  readonly learns: boolean
  readonly model: LoadedModel
  /** Experts in memory, and what loads them ahead. */
  readonly pool: Pick<AdapterPool, 'preload' | 'list' | 'isResident'>
}

export interface OpenedRouting {
  readonly service: Service
  close(): Promise<void>
}

/** Throws what reading the router throws, MismatchError if it is for other experts or bases. */
export async function openRouting(
  service: Service,
  { routing, adapters, learns, model, pool }: OpenRoutingParts,
): Promise<OpenedRouting> {
  const { file, sha256 } = await readRouterFile(routing.router)
  const { registered = [] } = routing
  const experts = [...(await Promise.all(adapters.map(describeServed))), ...registered]
  const encoder = findEncoderName(file)
  const embedder = encoder === undefined ? undefined : await openTextEncoder(encoder)
  const router = await createRouter({ file, model, experts, ...(embedder && { embedder }) })
  const escalateBelow = routing.escalateBelow ?? file.calibration?.escalateBelow
  if (routing.upstream && escalateBelow === undefined)
    throw new OptionError(
      `Server options: upstream is given without the confidence below which it answers: give escalateBelow, or train the router with it (${routing.router}).`,
    )
  const log = routing.log === undefined ? undefined : openLog(routing.log)
  const listResident = (): string[] =>
    pool.list().flatMap(({ name }) => (name !== undefined && pool.isResident(name) ? [name] : []))
  const ids = new Set(registered.map(({ name }) => name))
  // the router knows "coder@1.2.0" of the registry as "coder"
  const toRouted = (name: string): string => {
    const [id = name] = name.split('@')
    return ids.has(id) ? id : name
  }
  const preloader = new Preloader({ pool, resident: listResident, now: () => performance.now() })
  const routed = createRoutedService(service, {
    router,
    listResident: () => listResident().map(toRouted),
    registered,
    preloader,
    routerSha256: sha256,
    upstream: routing.upstream,
    escalateBelow,
    baseAnswers: !file.calibration || (escalateBelow ?? 0) < (file.calibration.threshold ?? 0),
    logsPrompts: routing.logsPrompts,
    learns,
    now: Date.now,
    createId: () => `route-${crypto.randomUUID()}`,
    ...(log && { writeRow: log.write }),
  })
  const close = async (): Promise<void> => {
    await log?.close()
    await embedder?.dispose()
    describePreloading(preloader.statistics)
  }
  return { service: routed, close }
}

/** One line about what loading ahead has saved, where it has loaded anything. */
function describePreloading(statistics: PreloadStatistics): void {
  const { requests, hits, loads, savedMs } = statistics
  if (loads === 0) return
  process.stderr.write(
    `graft: experts loaded ahead: ${loads}, for ${hits} of ${requests} routed requests (${(100 * computeHitRate(statistics)).toFixed(0)} % of those that would have waited); ${savedMs.toFixed(0)} ms saved\n`,
  )
}

/** With its content hash where it is a folder, as the router knows it. */
async function describeServed({
  name,
  path,
}: OpenRoutingParts['adapters'][number]): Promise<RoutedExpert> {
  const isFolder = await stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  )
  if (!isFolder) return { name }
  const { sha256 } = await readRoutedExpert(path, name)
  return { name, sha256 }
}

function openLog(path: string) {
  const stream = createWriteStream(path, { flags: 'a' })
  let isTold = false
  stream.on('error', (error) => {
    if (!isTold)
      process.stderr.write(`graft: ${path}: decisions are not logged: ${error.message}\n`)
    isTold = true
  })
  return {
    write: (line: string): void => void stream.write(line),
    close: () => new Promise<void>((done) => stream.end(() => done())),
  }
}
