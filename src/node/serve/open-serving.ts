// The model that a server or a command offers to others: opened in a worker, with its experts, its
// users' tiers, its router and the experts of a registry.

import {
  integer,
  flag,
  listOf,
  oneOf,
  pickOptions,
  readOptions,
  string,
  unchecked,
  withInfo,
  withoutOptions,
} from '../../base/schema.ts'
import { OptionError } from '../../base/errors.ts'
import { engineFields, type EngineOptions } from '../../runtime/engine/engine-options.ts'
import type { LocalRegistry } from '../registry/local-registry.ts'
import { readTrustedKeys } from '../registry/trusted-keys.ts'
import type { Service } from '../../server/service.ts'
import { chooseShareThreads, shareField, type TrainShare } from '../jobs/train-share.ts'
import type { LoadModelOptions } from '../model.ts'
import { loadFields } from '../models/model-options.ts'
import { backendFields, type ServeBackendOptions, toVllmTask } from './backend-options.ts'
import { openRegistered, registryFields, type ServeRegistryOptions } from './open-registered.ts'
import { openServedModel } from './open-service.ts'
import {
  routingFields,
  type RoutingTask,
  type ServeRoutingOptions,
  toRoutingTask,
} from './routing-options.ts'
import type { ServedAdapter, ServiceTask } from './service-module.ts'
import { getStateDirectory, getUsersFile, prepareStateFolder } from './state/open-state.ts'

export interface ServedModelOptions
  extends
    ServeBackendOptions,
    ServeRegistryOptions,
    ServeRoutingOptions,
    Omit<EngineOptions, 'saved'>,
    Omit<LoadModelOptions, 'onProgress' | 'environment' | 'today'> {
  /** A path or name, as `loadModel` takes it. */
  readonly model: string
  /** Experts from the start. */
  readonly adapters?: readonly ServedAdapter[] | undefined
  /** Further names by which requests may ask for the base. */
  readonly aliases?: readonly string[] | undefined
  /** A chat template that replaces the base's. */
  readonly chatTemplate?: string | undefined
  /** Where the model computes. Default 'thread': a worker of this process. */
  readonly isolation?: 'thread' | 'process' | 'none' | undefined
  /** Learns from feedback to users' answers, and keeps users in the state folder. Default false. */
  readonly learn?: boolean | undefined
  /**
   * Where users are stored instead of the state folder: postgres://…, s3://bucket/prefix, a file
   * that ends in .db, or a folder. Turns `learn` on.
   */
  readonly users?: string | undefined
  /** Bytes of memory for stored users who are not in use, for each expert. Default 256 MB. */
  readonly userBytes?: number | undefined
  /**
   * How training shares the machine with the server: with 'half' the model has half of the threads.
   * Default 'background'.
   */
  readonly trainShare?: TrainShare | undefined
  /** The folder of users, keys, files and jobs; 'memory': nothing outlives the process. */
  readonly state?: string | undefined
  readonly prefixFolder?: { readonly path: string; readonly maxBytes: number } | undefined
}

const modelFields = withoutOptions(loadFields, 'onProgress', 'environment', 'today')
const ownEngineFields = withoutOptions(engineFields, 'saved')

const ownFields = {
  aliases: listOf(string({ filled: true }), { default: [], about: 'further names of the base' }),
  chatTemplate: string({ about: "a chat template in place of the base's own" }),
  isolation: oneOf(['thread', 'process', 'none'], {
    default: 'thread',
    about: 'where the model computes: a thread, a separate process, or none',
  }),
  learn: flag({
    default: false,
    about: 'learn from feedback to answers of requests with a "user"; users are kept in the state',
  }),
  users: string({
    filled: true,
    about:
      'learn, and keep users there: postgres://…, s3://bucket/prefix, a file that ends in .db, or a folder',
  }),
  userBytes: integer({
    from: 1,
    about: 'bytes of memory for stored users who are not in use, for each expert (default: 256 MB)',
  }),
  trainShare: withInfo(shareField, { default: 'background' }),
}

/** Of ServedModelOptions, without `state`. */
export const servingFields = {
  model: string({ filled: true }),
  adapters: unchecked<readonly ServedAdapter[]>('a list of { name, path }'),
  prefixFolder: unchecked<NonNullable<ServedModelOptions['prefixFolder']>>('{ path, maxBytes }'),
  ...ownFields,
  ...backendFields,
  ...registryFields,
  ...routingFields,
  ...modelFields,
  ...ownEngineFields,
}

export interface OpenedServing {
  readonly service: Service
  /** undefined: there is none. */
  readonly registry: LocalRegistry | undefined
  close(): Promise<void>
}

/**
 * Throws OptionError for wrong options, and what loading the model and its adapters throws; nothing
 * runs then. Other options are ignored.
 */
export async function openServing(
  given: ServedModelOptions & { readonly logPrompts?: boolean | undefined },
): Promise<OpenedServing> {
  const options = pickOptions(given, servingFields)
  const settings = readOptions('Server options', options, servingFields)
  const { model, adapters = [], isolation, aliases, prefixFolder, chatTemplate } = settings
  if (model === undefined) throw new OptionError('Server options: model is missing.')
  const threads = chooseShareThreads(settings.trainShare, 'engine', options.threads)
  const routing = await openRoutingTask(given, adapters, settings.registry)
  const opened = await openServedModel({
    model,
    adapters,
    aliases,
    isolation,
    chatTemplate,
    users: await findUsers(settings, given.state),
    userBytes: settings.userBytes,
    prefixFolder,
    trustedKeys: await readTrustedKeys(settings.requireSigned),
    routing,
    vllm: toVllmTask(given, process.env),
    load: { ...pickOptions(options, modelFields), ...(threads !== undefined && { threads }) },
    engine: pickOptions(options, ownEngineFields),
  })
  try {
    const references = routing?.registered?.map(({ name, reference }) => [name, reference] as const)
    const registered = await openRegistered(
      opened.object,
      pickOptions(options, registryFields),
      references && new Map(references),
    )
    const { service, registry } = registered
    const close = async (): Promise<void> => {
      await registered.close()
      await opened.close()
    }
    return { service, registry, close }
  } catch (error) {
    await opened.close()
    throw error
  }
}

/** With the router's experts that the registry has. */
async function openRoutingTask(
  given: ServedModelOptions & { readonly logPrompts?: boolean | undefined },
  adapters: readonly ServedAdapter[],
  location: string | undefined,
): Promise<RoutingTask | undefined> {
  const task = toRoutingTask(given, process.env)
  if (!task || location === undefined) return task
  const [{ readRouterFile }, { openRegistry }, { findRoutedReferences }] = await Promise.all([
    import('../route/router-path.ts'),
    import('../registry/open-registry.ts'),
    import('../route/find-references.ts'),
  ])
  const { file } = await readRouterFile(task.router)
  const registry = await openRegistry(location)
  try {
    const loaded = new Set(adapters.map(({ name }) => name))
    return Object.assign(task, { registered: await findRoutedReferences(file, loaded, registry) })
  } finally {
    await registry.close()
  }
}

/**
 * Where users are stored: at the given address, in the state folder, which is created, or in
 * memory.
 */
async function findUsers(
  {
    learn,
    users,
    userBytes,
  }: {
    readonly learn: boolean
    readonly users?: string | undefined
    readonly userBytes?: number | undefined
  },
  folder: string = getStateDirectory(),
): Promise<ServiceTask['users']> {
  if (users !== undefined) return { place: users }
  if (userBytes !== undefined && (!learn || folder === 'memory'))
    throw new OptionError(
      'userBytes (--user-bytes) is for users who are stored: give learn and a state folder, or users.',
    )
  if (!learn) return undefined
  if (folder === 'memory') return 'memory'
  await prepareStateFolder(folder)
  return { place: getUsersFile(folder) }
}
