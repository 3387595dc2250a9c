// The server as a function from a request to a response: Hono, the routes, and the middleware in
// front of them. Independent of sockets and files.

import { Hono } from 'hono'
import { isRecord } from '../base/schema.ts'
import { findNearestName } from '../base/suggest.ts'
import { createErrorResponse, type ErrorBody, toRequestError } from './error-response.ts'
import { createOpenApiRoute } from './openapi.ts'
import { noBody, readBody, readListBody } from './read-body.ts'
import { RequestError } from './request-error.ts'
import type { Middleware, RouteCall, Route, ServerContext, ServerEnv } from './route.ts'
import { routes as ownRoutes } from './route-table.ts'
import type { Service } from './service.ts'

export type { Middleware } from './route.ts'

export interface ServerOptions {
  readonly service: Service
  /** Run for every request, unknown paths included, in this order. */
  readonly middleware?: readonly Middleware[]
  /**
   * Run for matched requests before the body is read; `context.get('route')` is the matched route.
   */
  readonly guards?: readonly Middleware[]
  /** Bytes of a body; longer ones are refused with 413. Default 8 MiB. */
  readonly maxBodyBytes?: number
  /** Further routes. */
  readonly routes?: readonly Route[]
  /** Called with errors that the request did not cause. */
  readonly onFault?: (error: unknown, context: ServerContext) => void
  /** The program's version, for /openapi.json. */
  readonly version?: string
  /** Milliseconds since 1970. */
  readonly now?: () => number
  readonly createId?: () => string
}

export interface Server {
  fetch(request: Request, env?: object): Promise<Response>
  readonly routes: readonly Route[]
}

export function createServer(options: ServerOptions): Server {
  const { middleware = [], guards = [], routes: further = [], version = '0.0.0' } = options
  const { onFault } = options
  const described = [...ownRoutes, ...further]
  const routes = [...described, createOpenApiRoute(described, version)]
  const app = new Hono<ServerEnv>()
  app.onError((error, context) => answerError(error, context, onFault))
  for (const one of middleware) app.use('*', one)
  for (const [path, group] of groupByPath(routes)) {
    for (const route of group) {
      const enter: Middleware = async (context, next) => {
        context.set('route', route)
        await next()
      }
      app.on(route.method, path, enter, ...guards, async (context) =>
        route.handle(await createCall(options, route, context)),
      )
    }
    addMethodError(app, { path, group, guards })
  }
  app.notFound((context) => answerError(createPathError(context, routes), context, onFault))
  return { fetch: async (request, env) => app.fetch(request, env), routes }
}

/**
 * By path as Hono writes it. Paths that end in a parameter, which may hold slashes, come last: they
 * would hide longer ones, also those that take other methods.
 */
function groupByPath(routes: readonly Route[]): Map<string, Route[]> {
  const sorted = routes.toSorted(
    (a, b) => Number(a.path.endsWith('}')) - Number(b.path.endsWith('}')),
  )
  return Map.groupBy(sorted, (route) => toHonoPath(route.path))
}

/** '/v1/models/{model}' as Hono writes it; a last parameter may hold slashes. */
const toHonoPath = (path: string): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string, at: number) =>
    path.endsWith(`{${name}}`) && at + name.length + 2 === path.length
      ? `:${name}{.+}`
      : `:${name}`,
  )

async function createCall(
  options: ServerOptions,
  route: Route,
  context: ServerContext,
): Promise<RouteCall> {
  const { service, maxBodyBytes, now = Date.now, version = '0.0.0' } = options
  const { createId = () => crypto.randomUUID() } = options
  const { req: request } = context
  const body = await readRouteBody(route, request, maxBodyBytes)
  context.set('body', isRecord(body) ? body : undefined)
  return {
    service: context.get('service') ?? service,
    body,
    parameters: request.param(),
    query: new URL(request.url).searchParams,
    signal: request.raw.signal,
    context,
    created: Math.floor(now() / 1000),
    createId: (prefix) => prefix + createId().replaceAll('-', ''),
    version,
  }
}

async function readRouteBody(
  { method, body = noBody, listBody, ownBody }: Route,
  request: ServerContext['req'],
  maxBytes: number | undefined,
): Promise<unknown> {
  if (method === 'GET' || ownBody) return {}
  return listBody ? readListBody(request, listBody, maxBytes) : readBody(request, body, maxBytes)
}

interface PathGroup {
  readonly path: string
  readonly group: readonly Route[]
  readonly guards: readonly Middleware[]
}

/** A known path with another method: 405 that lists the methods. Guards come first. */
function addMethodError(app: Hono<ServerEnv>, { path, group, guards }: PathGroup): void {
  const [first] = group
  const methods = group.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
  const allow = methods.join(', ')
  const enter: Middleware = async (context, next) => {
    context.set('route', first)
    await next()
  }
  app.all(path, enter, ...guards, (context) => {
    const { req } = context
    const error = new RequestError(`${req.method} ${first!.path}: this path takes ${allow}.`, {
      status: 405,
      code: 'method_not_allowed',
    })
    const response = createErrorResponse(error, (body) => describeError(body, context))
    response.headers.set('Allow', allow)
    return response
  })
}

/** For the addresses that people open in a browser: where the API is, and the page if there is one. */
function describeNearPath(path: string, known: readonly string[]): string {
  if (['/', '/v1', '/v1/'].includes(path) && known.includes('/v1/models')) {
    const page = known.includes('/studio/') ? ' /studio/ is a page for browsers.' : ''
    return ` GET /v1/models lists the models.${page}`
  }
  const meant = findNearestName(path, known)
  return meant === undefined ? '' : ` Did you mean ${meant}?`
}

function createPathError({ req }: ServerContext, routes: readonly Route[]): RequestError {
  const path = req.path.slice(0, 200)
  const hint = describeNearPath(
    path,
    routes.map((route) => route.path),
  )
  return new RequestError(`There is no ${JSON.stringify(path)} here.${hint}`, {
    status: 404,
    code: 'unknown_path',
  })
}

/** An error as a response; the server's own errors are passed to `onFault` first. */
function answerError(
  error: unknown,
  context: ServerContext,
  onFault: ServerOptions['onFault'],
): Response {
  if (context.req.raw.signal.aborted) return new Response(null, { status: 499 })
  if (toRequestError(error).status >= 500) onFault?.(error, context)
  return createErrorResponse(error, (body) => describeError(body, context))
}

/** In the form of the route's API. */
const describeError = (body: ErrorBody, context: ServerContext): object =>
  context.get('route')?.describeError?.(body, context.get('requestId')) ?? body
