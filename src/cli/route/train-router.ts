// What graft route train does: collects experts and prompts, trains the router, writes its file,
// prints its calibration.

import { readFile } from 'node:fs/promises'
import { NotFoundError } from '../../base/errors.ts'
import { createRouter, getRouterKind } from '../../route/create-router.ts'
import { readRouteLog, toRouteExamples } from '../../route/log/route-log.ts'
import type { RouterFile } from '../../route/router-file.ts'
import type { RoutedExpert, RouteExample, RouterKind } from '../../route/router.ts'
import { listRoutedExperts } from '../../node/route/list-experts.ts'
import { readForeignExamples, readRouteExamples } from '../../node/route/read-examples.ts'
import { writeRouterFile } from '../../node/route/router-path.ts'
import { loadAdapter } from '../../node/adapters.ts'
import { createNodeBackend } from '../../node/backend.ts'
import type { LoadedModel } from '../../node/model.ts'
import { UsageError } from '../command.ts'
import { defaultModel, openModel } from '../shared/open-model.ts'
import { formatBytes } from '../ui/format.ts'
import type { Terminal } from '../ui/terminal.ts'
import { openNamedEncoder, type RouterValues } from './open-router.ts'

export interface TrainRouterValues extends RouterValues {
  readonly data?: string | undefined
  readonly from?: string | undefined
  readonly none?: readonly string[] | undefined
  readonly held?: string | undefined
  readonly out: string
  readonly kind: string
  readonly option?: readonly string[] | undefined
  readonly layers?: string | undefined
  readonly pooling?: string | undefined
  readonly encoder?: string | undefined
  readonly seed: number
}

export async function trainRouter(
  values: TrainRouterValues,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<unknown> {
  const row = getRouterKind(values.kind)
  const options = parseKindOptions(values.option ?? [])
  const vectors = parseVectors(values)
  const examples = await collectExamples(values)
  const held = values.held === undefined ? [] : await readRouteExamples(values.held)
  const experts = await collectExperts(values.experts, examples)
  signal.throwIfAborted()
  const isTaught = row.kind === 'policy' && options['taught'] === true
  if (!isTaught) checkEncoder(values, row)
  const { encoder, threads } = values
  const embedder =
    encoder === undefined ? undefined : await openNamedEncoder(encoder, values, terminal)
  const model = await openNeededModel(
    values,
    encoder === undefined &&
      (row.needs.length > 0 || isTaught || ['cascade', 'hierarchical'].includes(row.kind)),
    terminal,
  )
  try {
    const router = await createRouter({
      kind: row.kind,
      experts: row.kind === 'arrow' ? await withAdapters(experts, model) : experts,
      examples,
      held,
      options,
      seed: values.seed,
      ...(model && { model }),
      ...(embedder && { embedder }),
      ...(row.kind === 'policy' && !model && { backend: await createNodeBackend({ threads }) }),
      ...(vectors && { vectors }),
    })
    signal.throwIfAborted()
    const file = router.save()
    const sizeBytes = await writeRouterFile(values.out, file)
    const foreign = examples.filter(({ expert }) => expert === undefined).length
    terminal.print(
      `${values.out}: ${row.kind}, ${experts.length} experts, ${examples.length} prompts (${foreign} of none), ${formatBytes(sizeBytes)}`,
    )
    describeCalibration(file, examples.length, terminal)
    return {
      router: values.out,
      kind: row.kind,
      experts: experts.map(({ name }) => name),
      prompts: examples.length,
      sizeBytes,
      calibration: file.calibration ?? null,
    }
  } finally {
    await embedder?.dispose()
    await model?.dispose()
  }
}

function describeCalibration({ calibration }: RouterFile, prompts: number, terminal: Terminal) {
  const { threshold, error, rows } = calibration ?? {}
  if (error !== undefined)
    terminal.print(
      `calibrated on ${rows} held-out prompts: expected calibration error ${(error * 100).toFixed(1)} %, threshold ${threshold?.toFixed(3)}`,
    )
  else if (prompts > 0)
    terminal.note('Too few prompts were held out to calibrate: confidences are the softmax’s.')
}

/** Kinds that read prompts by the base's own states or by words alone. */
const withoutVectors = new Set(['keyword', 'fixed', 'policy', 'arrow', 'classifier'])

function checkEncoder({ encoder, layers, pooling }: TrainRouterValues, { kind }: RouterKind): void {
  if (encoder === undefined) return
  if (withoutVectors.has(kind))
    throw new UsageError(`--encoder gives vectors of prompts, and --kind ${kind} reads none.`)
  if (layers !== undefined || pooling !== undefined)
    throw new UsageError(
      "--encoder, and --layers or --pooling: prompts are read either by an encoder or by the base's layers. Leave out one of them.",
    )
}

/** 'name=value'; a value that is JSON is read as such. */
function parseKindOptions(texts: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? []
      if (name === undefined || value === undefined)
        throw new UsageError(`--option ${text}: expected name=value.`)
      try {
        return [name, JSON.parse(value) as unknown]
      } catch {
        return [name, value]
      }
    }),
  )
}

function parseVectors({ layers, pooling }: TrainRouterValues) {
  if (layers === undefined && pooling === undefined) return undefined
  return {
    ...(layers !== undefined && { layers: layers.split(',').map(Number) }),
    ...(pooling !== undefined && {
      pooling: pooling.split(',').map((name) => name.trim()) as ('mean' | 'last' | 'max')[],
    }),
  }
}

async function collectExamples(values: TrainRouterValues): Promise<RouteExample[]> {
  const { data, from, none = [] } = values
  const sources = [
    data === undefined ? [] : await readRouteExamples(data),
    from === undefined ? [] : toRouteExamples(await readLogFile(from)),
    ...(await Promise.all(none.map(readForeignExamples))),
  ]
  return sources.flat()
}

export async function readLogFile(path: string) {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new NotFoundError(`${path}: this log cannot be read.`, { cause })
  })
  return readRouteLog(text, path)
}

async function collectExperts(
  folder: string | undefined,
  examples: readonly RouteExample[],
): Promise<RoutedExpert[]> {
  if (folder !== undefined) return listRoutedExperts(folder)
  const names = examples.flatMap(({ expert }) => (expert === undefined ? [] : [expert]))
  if (names.length === 0)
    throw new UsageError('Give --experts, or rows that name experts (--data, --from).')
  return [...new Set(names)].toSorted().map((name) => ({ name }))
}

/** Experts of folders with their adapters, which the arrow router reads. */
function withAdapters(
  experts: readonly (RoutedExpert & { readonly path?: string })[],
  model: LoadedModel | undefined,
): Promise<RoutedExpert[]> {
  return Promise.all(
    experts.map(async (expert) => {
      if (expert.path === undefined)
        throw new UsageError('--kind arrow reads adapters: give --experts, a folder of experts.')
      const adapter = await loadAdapter(expert.path, { ...(model && { model }) })
      return Object.assign({}, expert, { adapter })
    }),
  )
}

async function openNeededModel(
  values: TrainRouterValues,
  isNeeded: boolean,
  terminal: Terminal,
): Promise<LoadedModel | undefined> {
  if (values.model === undefined && !isNeeded) return undefined
  return openModel(values.model ?? defaultModel, values, terminal)
}
