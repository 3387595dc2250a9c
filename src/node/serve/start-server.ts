// A server on a socket: the model in a worker, HTTP in this thread, and all that a server promises
// beside its answers.

import { listen } from './listen.ts'
import type { Server as HttpServer } from 'node:http'
import { OptionError } from '../../base/errors.ts'
import {
  flag,
  integer,
  listOf,
  number,
  oneOf,
  readOptions,
  string,
  unchecked,
  withoutOptions,
  pickOptions,
  withInfo,
} from '../../base/schema.ts'
import { engineFields, type EngineOptions } from '../../runtime/engine/engine-options.ts'
import type { Server } from '../../server/app.ts'
import type { Service } from '../../server/service.ts'
import type { LoadModelOptions } from '../model.ts'
import { loadFields } from '../models/model-options.ts'
import { chooseShareThreads, shareField, type TrainShare } from '../jobs/train-share.ts'
import { readTrustedKeys } from '../registry/trusted-keys.ts'
import { endServer, type EndedServer } from './end-server.ts'
import { backendFields, type ServeBackendOptions, toVllmTask } from './backend-options.ts'
import { answerMalformedRequests } from './malformed-requests.ts'
import {
  type OpenedOperations,
  openOperations,
  serveOperationFields,
  type ServeOperationOptions,
} from './open-operations.ts'
import {
  batchesFields,
  type OpenedBatches,
  openBatches,
  type ServeBatchesOptions,
} from './open-batches.ts'
import { filesFields, type OpenedFiles, openFiles, type ServeFilesOptions } from './open-files.ts'
import { openRegistered, registryFields, type ServeRegistryOptions } from './open-registered.ts'
import { openServedModel } from './open-service.ts'
import { routingFields, type ServeRoutingOptions, toRoutingTask } from './routing-options.ts'
import type { ServedAdapter, ServiceTask } from './service-module.ts'
import { getStateDirectory, getUsersFile, prepareStateFolder } from './state/open-state.ts'

export interface StartServerOptions
  extends
    ServeBackendOptions,
    ServeOperationOptions,
    ServeRegistryOptions,
    ServeRoutingOptions,
    ServeFilesOptions,
    ServeBatchesOptions,
    Omit<EngineOptions, 'saved'>,
    Omit<LoadModelOptions, 'onProgress' | 'environment' | 'today'> {
  /** A path or name, as `loadModel` takes it. */
  readonly model: string
  /** Experts from the start. */
  readonly adapters?: readonly ServedAdapter[] | undefined
  /** 0: any free port. Default 8080. */
  readonly port?: number | undefined
  /** Further names by which requests may ask for the base. */
  readonly aliases?: readonly string[] | undefined
  /** A chat template in place of the base's own. */
  readonly chatTemplate?: string | undefined
  /** Where the model computes. Default 'thread': a worker of this process. */
  readonly isolation?: 'thread' | 'process' | 'none' | undefined
  /** Learns from feedback to users' answers, and keeps users in the state folder. Default false. */
  readonly learn?: boolean | undefined
  /**
   * How training beside the server shares the machine: with 'half' the model has half of the
   * threads. Default 'background'.
   */
  readonly trainShare?: TrainShare | undefined
  /** Seconds that running requests may still take at the end. Default 30. */
  readonly drainSeconds?: number | undefined
  readonly prefixFolder?: { readonly path: string; readonly maxBytes: number } | undefined
  /** Of the program, for /openapi.json. */
  readonly version?: string | undefined
}

const modelFields = withoutOptions(loadFields, 'onProgress', 'environment', 'today')
const ownEngineFields = withoutOptions(engineFields, 'saved')

export const serverFields = {
  port: integer({ from: 0, to: 65_535, default: 8080, about: 'port to listen on; 0: a free one' }),
  aliases: listOf(string({ filled: true }), { default: [], about: 'further names of the base' }),
  chatTemplate: string({ about: "a chat template in place of the base's own" }),
  isolation: oneOf(['thread', 'process', 'none'], {
    default: 'thread',
    about: 'where the model computes: a thread or a process of its own, or none',
  }),
  learn: flag({
    default: false,
    about: 'learn from feedback to answers of requests with a "user"; users are kept in the state',
  }),
  trainShare: withInfo(shareField, { default: 'background' }),
  drainSeconds: number({
    from: 0,
    default: 30,
    about: 'seconds that running requests may still take at the end',
  }),
}

const startFields = {
  model: string({ filled: true }),
  adapters: unchecked<readonly ServedAdapter[]>('a list of { name, path }'),
  prefixFolder: unchecked<NonNullable<StartServerOptions['prefixFolder']>>('{ path, maxBytes }'),
  version: string(),
  ...serverFields,
  ...backendFields,
  ...registryFields,
  ...routingFields,
  ...filesFields,
  ...batchesFields,
  ...serveOperationFields,
  ...modelFields,
  ...ownEngineFields,
}

export interface StartedServer {
  /** `http://127.0.0.1:8080` */
  readonly url: string
  readonly service: Service
  /** What to say about keys. */
  readonly access: string
  /** Experts that an earlier run had loaded. */
  readonly restored: OpenedOperations['restored']
  /** Refuses new requests, answers those that run, closes everything. */
  close(): Promise<EndedServer>
}

/**
 * Starts a server:
 *
 *     const server = await startServer({ model: 'stories260k', port: 0 })
 *     await fetch(`${server.url}/v1/models`)
 *     await server.close()
 *
 * Throws OptionError for wrong options and a port that is taken, and what loading the model and its
 * adapters throws; nothing runs then.
 */
export async function startServer(options: StartServerOptions): Promise<StartedServer> {
  const settings = readOptions('Server options', options, startFields)
  const { model, adapters = [], isolation, aliases, drainSeconds, host, port } = settings
  if (model === undefined) throw new OptionError('Server options: model is missing.')
  const threads = chooseShareThreads(settings.trainShare, 'engine', options.threads)
  const users = settings.learn ? await findUsers(settings.state) : undefined
  const opening = openServedModel({
    model,
    adapters,
    aliases,
    isolation,
    chatTemplate: settings.chatTemplate,
    users,
    prefixFolder: settings.prefixFolder,
    trustedKeys: await readTrustedKeys(settings.requireSigned),
    routing: toRoutingTask(options, process.env),
    vllm: toVllmTask(options, process.env),
    load: { ...pickOptions(options, modelFields), ...(threads !== undefined && { threads }) },
    engine: pickOptions(options, ownEngineFields),
  })
  const modules = loadHttp() // while the worker starts
  const opened = await opening
  const parts: (() => Promise<unknown>)[] = [opened.close]
  try {
    const registered = await openRegistered(opened.object, pickOptions(options, registryFields))
    parts.unshift(registered.close)
    const operations = await openOperations(
      registered.service,
      pickOptions(options, serveOperationFields),
    )
    parts.unshift(operations.close)
    const files = await openFiles(settings.state, pickOptions(options, filesFields))
    parts.unshift(files.close)
    const batches = openBatches(files, pickOptions(options, batchesFields), operations.onFailure)
    const all = { operations, files, batches }
    const { server, fetch } = createHttpServer(all, await modules, settings.version)
    const url = await listen(server, host, port)
    await batches.begin(fetch)
    return {
      url,
      service: operations.service,
      access: operations.access,
      restored: operations.restored,
      async close() {
        await batches.close()
        const ended = await endServer(server, operations.operations.lifecycle, drainSeconds * 1000)
        for (const close of parts) await close()
        return ended
      },
    }
  } catch (error) {
    for (const close of parts) await close()
    throw error
  }
}

/** Where users are kept: in the state folder, which is made here, or in memory. */
async function findUsers(
  folder: string = getStateDirectory(),
): Promise<NonNullable<ServiceTask['users']>> {
  if (folder === 'memory') return 'memory'
  await prepareStateFolder(folder)
  return { file: getUsersFile(folder) }
}

/** Hono and the routes, which are loaded here, and not before. */
async function loadHttp() {
  const [{ createAdaptorServer }, { createServer }] = await Promise.all([
    import('@hono/node-server'),
    import('../../server/app.ts'),
  ])
  return { createAdaptorServer, createServer }
}

/**
 * How long a connection without a request stays open. Node's 5 s are shorter than the pauses of
 * many clients, whose next request would meet a connection that is being closed.
 */
const keepAliveMs = 75_000

/** HTTP around the function that answers. */
function createHttpServer(
  {
    operations: opened,
    files,
    batches,
  }: { operations: OpenedOperations; files: OpenedFiles; batches: OpenedBatches },
  { createAdaptorServer, createServer }: Awaited<ReturnType<typeof loadHttp>>,
  version = '0.0.0',
): { readonly server: HttpServer; readonly fetch: Server['fetch'] } {
  const { operations, service } = opened
  const { middleware, guards, routes, maxBodyBytes, onFault } = operations
  const server = createServer({
    service,
    middleware,
    guards,
    routes: [...routes, ...files.routes, ...batches.routes],
    maxBodyBytes,
    onFault,
    version,
  })
  const http = createAdaptorServer({
    fetch: (request, env) => server.fetch(request, env),
    overrideGlobalObjects: false,
  }) as HttpServer
  http.keepAliveTimeout = keepAliveMs
  answerMalformedRequests(http)
  return { server: http, fetch: server.fetch }
}
