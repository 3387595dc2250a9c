// createRouter: trains a router on examples, or reads one from its file and checks that it is for
// these experts and this base.

import { FormatError, MismatchError, type Mismatch, OptionError } from '../base/errors.ts'
import {
  checkOptions,
  integer,
  object,
  readOptions,
  record,
  string,
  unchecked,
} from '../base/schema.ts'
import { findNearestName } from '../base/suggest.ts'
import type { Backend } from '../compute/backend.ts'
import { computeServedIdentity } from '../graph/model-identity.ts'
import type { Model } from '../runtime/model.ts'
import { getModelParts } from '../runtime/model-parts.ts'
import { embedderFields, type BaseEmbedderOptions } from './features/base-embedder.ts'
import { createMemoEmbedder } from './features/memo-embedder.ts'
import { checkRouterFile, type RouterFile } from './router-file.ts'
import { findEmbedderSettings } from './features/embedder-settings.ts'
import { routerKinds } from './router-table.ts'
import type {
  RoutedExpert,
  RouteExample,
  Router,
  RouterKind,
  RouterParts,
  RouterTraining,
  StateSource,
  TextEmbedder,
} from './router.ts'

interface SharedOptions {
  /** The experts to choose among. With a file: those that are served. */
  readonly experts?: readonly RoutedExpert[] | undefined
  /** The base: gives vectors, the tokenizer, and its hash. */
  readonly model?: Model | undefined
  /** Vectors of prompts by another model than the base. */
  readonly embedder?: TextEmbedder | undefined
  /** Runs the graphs of a policy's training. Default: the model's; the slow interpreter without. */
  readonly backend?: Backend | undefined
}

export interface TrainRouterOptions extends SharedOptions {
  /** A row of `routerKinds`. Default 'embedding'. */
  readonly kind?: string | undefined
  readonly examples?: readonly RouteExample[] | undefined
  /** Prompts for calibration alone. Default: a part of the examples. */
  readonly held?: readonly RouteExample[] | undefined
  /** Options of the kind. */
  readonly options?: Readonly<Record<string, unknown>> | undefined
  /** How the base's layers become a vector. */
  readonly vectors?: BaseEmbedderOptions | undefined
  /** Default 0. */
  readonly seed?: number | undefined
}

export interface LoadRouterOptions extends SharedOptions {
  /** What `save` gave. */
  readonly file: RouterFile
}

export type CreateRouterOptions = TrainRouterOptions | LoadRouterOptions

const fields = {
  file: unchecked<RouterFile>('the file of a router'),
  kind: string({ filled: true, default: 'embedding' }),
  experts: unchecked<readonly RoutedExpert[]>('a list of { name }'),
  examples: unchecked<readonly RouteExample[]>('a list of { text, expert }'),
  held: unchecked<readonly RouteExample[]>('a list of { text, expert }'),
  options: record,
  vectors: object(embedderFields),
  model: unchecked<Model>('a model'),
  embedder: unchecked<TextEmbedder>('an embedder'),
  backend: unchecked<Backend>('a backend'),
  seed: integer({ default: 0 }),
}

/**
 * A router, trained on examples or read from a file. Throws OptionError for unknown or wrong
 * options, an unknown kind, two experts with one name; DataError for examples that cannot be used;
 * FormatError for a broken file; MismatchError for a router of other experts or of another base.
 */
export async function createRouter(options: CreateRouterOptions): Promise<Router> {
  const given = readOptions('Options of createRouter', options, fields)
  if (given.file !== undefined) return loadRouter(options as LoadRouterOptions)
  const { kind, experts = [], examples = [], held = [], seed, vectors, model } = given
  const { embedder, backend } = given
  const row = getRouterKind(kind)
  const parts = await collectParts(row, { model, vectors, embedder, backend })
  const training: RouterTraining = { experts, examples, held, seed }
  const router = await trainKind(row, training, given.options ?? {}, parts)
  return model ? withBase(router, await describeBase(model)) : router
}

/** Throws OptionError with the name that was probably meant. */
export function getRouterKind(kind: string): RouterKind {
  const row = routerKinds.get(kind)
  if (row) return row
  const names = [...routerKinds.keys()]
  const meant = findNearestName(kind, names)
  throw new OptionError(
    `There is no router "${kind}". There are ${names.join(', ')}.${meant === undefined ? '' : ` Did you mean "${meant}"?`}`,
  )
}

async function trainKind(
  row: RouterKind,
  training: RouterTraining,
  options: Readonly<Record<string, unknown>>,
  parts: RouterParts,
): Promise<Router> {
  checkOptions(`Options of the router "${row.kind}"`, options, row.fields)
  const complete = readOptions(`Options of the router "${row.kind}"`, options, row.fields)
  return row.train(training, complete, parts)
}

interface PartSources {
  readonly model?: Model | undefined
  readonly embedder?: TextEmbedder | undefined
  readonly vectors?: BaseEmbedderOptions | undefined
  readonly backend?: Backend | undefined
}

/** What kinds need; the embedder over the base is made where one may be wanted. */
async function collectParts(row: RouterKind, sources: PartSources): Promise<RouterParts> {
  const { model, vectors, embedder: own } = sources
  const backend = sources.backend ?? (model && getModelParts(model).backend)
  if (row.needs.includes('embedder') && !own && !model)
    throw new OptionError(
      `Router "${row.kind}" needs vectors of prompts: give a model, or an embedder.`,
    )
  const made = own ?? (model && (await openBaseEmbedder(model, vectors)))
  const embedder = made && createMemoEmbedder(made)
  const parts: RouterParts = {
    ...(embedder && { embedder }),
    ...(model?.base.tokenizer && { tokenizer: model.base.tokenizer }),
    ...(backend && { backend }),
    ...(model && { model, states: () => openStates(model) }),
    load: async (file) => getRouterKind(file.kind).load(file, parts),
    train: (kind, training, options) => trainKind(getRouterKind(kind), training, options, parts),
  }
  return parts
}

async function openStates(model: Model): Promise<StateSource> {
  const { createStateSource } = await import('./arrow/module-states.ts')
  return createStateSource(model)
}

async function openBaseEmbedder(
  model: Model,
  vectors: BaseEmbedderOptions | undefined,
): Promise<TextEmbedder> {
  const { createBaseEmbedder } = await import('./features/base-embedder.ts')
  return createBaseEmbedder(model, vectors)
}

async function loadRouter({ file, experts, model, embedder, backend, ...rest }: LoadRouterOptions) {
  const unused = Object.entries(rest).filter(([, value]) => value !== undefined)
  if (unused.length > 0)
    throw new OptionError(
      `Options of createRouter: ${unused.map(([name]) => name).join(', ')} and file: a router is either trained or read. Leave out one of them.`,
    )
  checkRouterFile(file, 'file')
  if (experts) checkExperts(file, experts)
  if (model) await checkBase(file, model)
  const settings = findEmbedderSettings(file)
  // Files from before there was a choice do not name their products.
  const vectors = settings && { products: 'same' as const, ...settings }
  if (vectors && !embedder && !model)
    throw new OptionError(
      `The router "${file.kind}" needs vectors of prompts: give a model, or an embedder.`,
    )
  if (settings && !embedder) checkVectorSettings(settings)
  const row = getRouterKind(file.kind)
  const router = await row.load(
    file,
    await collectParts(row, { model, embedder, vectors, backend }),
  )
  return file.base ? withBase(router, file.base) : router
}

function checkVectorSettings(settings: object): void {
  try {
    checkOptions('embedder.settings', settings, embedderFields)
  } catch (cause) {
    throw new FormatError(
      `The router was trained on vectors of another embedder than the base (${JSON.stringify(settings)}). Give that embedder; createRouter of graftlm/node opens a sentence encoder itself.`,
      { cause },
    )
  }
}

/** Every expert of the file must be served, with the content that it was trained for. */
function checkExperts({ kind, experts }: RouterFile, served: readonly RoutedExpert[]): void {
  const byName = new Map(served.map((expert) => [expert.name, expert]))
  const mismatches = experts.flatMap(({ name, sha256 }): Mismatch[] => {
    const own = byName.get(name)
    if (!own) return [{ name, got: 'no such expert', expected: 'an expert that is served' }]
    const differs = sha256 !== undefined && own.sha256 !== undefined && own.sha256 !== sha256
    return differs
      ? [{ name, got: `content ${own.sha256!.slice(0, 12)}…`, expected: `${sha256.slice(0, 12)}…` }]
      : []
  })
  if (mismatches.length > 0)
    throw new MismatchError(
      `The router "${kind}" was trained for other experts`,
      mismatches,
      'Serve the experts that it was trained for, or train it again (graft route train).',
    )
}

async function checkBase({ kind, base }: RouterFile, model: Model): Promise<void> {
  if (base?.sha256 === undefined) return
  const own = await computeServedIdentity(model.base)
  if (own === base.sha256) return
  throw new MismatchError(
    `The router "${kind}" was trained for another base`,
    [
      {
        name: 'base',
        got: `${model.base.name} (${own.slice(0, 12)}…)`,
        expected: `${base.id ?? 'a base'} (${base.sha256.slice(0, 12)}…)`,
      },
    ],
    'Load it with its own base, or train it again (graft route train).',
  )
}

async function describeBase({ base }: Model): Promise<NonNullable<RouterFile['base']>> {
  return { id: base.name, sha256: await base.identity() }
}

/** The router, whose file also records its base. */
function withBase(router: Router, base: NonNullable<RouterFile['base']>): Router {
  const save = router.save.bind(router)
  return Object.assign(router, {
    save: (): RouterFile => {
      const { experts, ...rest } = save()
      return { ...rest, experts, base }
    },
  })
}
