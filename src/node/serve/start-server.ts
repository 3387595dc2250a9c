// A server on a socket: the model in a worker, HTTP in this thread, and all other parts of a
// server.

import { listen } from './listen.ts'
import type { Server as HttpServer } from 'node:http'
import { integer, number, pickOptions, readOptions, string } from '../../base/schema.ts'
import type { Server } from '../../server/app.ts'
import type { Route } from '../../server/route.ts'
import type { Service } from '../../server/service.ts'
import { endServer, type EndedServer } from './end-server.ts'
import { answerMalformedRequests } from './malformed-requests.ts'
import {
  type OpenedOperations,
  openOperations,
  serveOperationFields,
  type ServeOperationOptions,
} from './open-operations.ts'
import { batchesFields, type ServeBatchesOptions } from './state/open-batches.ts'
import { openRoutes } from './open-routes.ts'
import {
  findStudioPage,
  type OpenedStudio,
  openStudio,
  type ServeStudioOptions,
  studioFields,
} from './studio/open-studio.ts'
import { openStored, storedFields, type StoredOptions } from './state/open-stored.ts'
import { openServing, servingFields, type ServedModelOptions } from './open-serving.ts'

export interface StartServerOptions
  extends
    Omit<ServedModelOptions, 'state'>,
    ServeOperationOptions,
    StoredOptions,
    ServeBatchesOptions,
    ServeStudioOptions {
  /** 0: any free port. Default 8080. */
  readonly port?: number | undefined
  /** Seconds that running requests may still take at the end. Default 30. */
  readonly drainSeconds?: number | undefined
  /** Of the program, for /openapi.json. */
  readonly version?: string | undefined
}

export const serverFields = {
  port: integer({ from: 0, to: 65_535, default: 8080, about: 'port to listen on; 0: a free one' }),
  drainSeconds: number({
    from: 0,
    default: 30,
    about: 'seconds that running requests may take when the server stops',
  }),
}

const startFields = {
  version: string(),
  ...serverFields,
  ...servingFields,
  ...storedFields,
  ...batchesFields,
  ...serveOperationFields,
  ...studioFields,
}

export interface StartedServer {
  /** `http://127.0.0.1:8080` */
  readonly url: string
  readonly service: Service
  /** The line about keys. */
  readonly access: string
  /** Where Studio is; undefined: it is not offered, or not built. */
  readonly studio: string | undefined
  /** Experts that an earlier run had loaded. */
  readonly restored: OpenedOperations['restored']
  /** Refuses new requests, completes running ones, and closes everything. */
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
  const { drainSeconds, host, port } = settings
  const opening = openServing(options)
  const modules = loadHttp() // while the worker starts
  const opened = await opening
  const parts: (() => Promise<unknown>)[] = [opened.close]
  try {
    const stored = await openStored(opened, options)
    parts.unshift(stored.close)
    const operations = await openOperations(
      stored.service,
      pickOptions(options, serveOperationFields),
    )
    parts.unshift(operations.close)
    const { version = '0.0.0' } = settings
    const batches = pickOptions(options, batchesFields)
    const further = openRoutes(operations, stored, { batches, version })
    const studio = await openOwnStudio(options, operations)
    parts.unshift(async () => studio?.close())
    const routes = [...further.routes, ...(studio?.routes ?? [])]
    const { server, fetch } = createHttpServer(operations, routes, await modules, version)
    const url = await listen(server, host, port)
    await further.begin(fetch)
    return {
      url,
      service: operations.service,
      access: operations.access,
      studio: studio && `${url}/studio`,
      restored: operations.restored,
      async close() {
        await further.stop()
        await stored.stop()
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

/** Undefined if it is not wanted, or was not built. */
async function openOwnStudio(
  { model, backend, withoutStudio }: StartServerOptions,
  { operations }: OpenedOperations,
): Promise<OpenedStudio | undefined> {
  const page = withoutStudio ? undefined : findStudioPage()
  if (page === undefined) return undefined
  const needsKey = (): Promise<boolean> => operations.keys.hasKeys()
  return openStudio({ model: backend === 'vllm' ? undefined : model, page, needsKey })
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
 * many clients, whose next request could arrive on a connection that is being closed.
 */
const keepAliveMs = 75_000

/** HTTP around the function that answers. */
function createHttpServer(
  { operations, service }: OpenedOperations,
  further: readonly Route[],
  { createAdaptorServer, createServer }: Awaited<ReturnType<typeof loadHttp>>,
  version: string,
): { readonly server: HttpServer; readonly fetch: Server['fetch'] } {
  const { middleware, guards, routes, maxBodyBytes, onFault } = operations
  const server = createServer({
    service,
    middleware,
    guards,
    routes: [...routes, ...further],
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
