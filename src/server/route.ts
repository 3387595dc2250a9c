// The contract of a route: one row has its path, required scope, body and handler. The app mounts
// the rows, and /openapi.json is generated from them.

import type { Context, MiddlewareHandler } from 'hono'
import type { Field, Fields, GivenOptions, JsonSchema } from '../base/schema.ts'
import type { ErrorBody } from './error-response.ts'
import type { AnswerUsage, Service } from './service.ts'

/** The scope that a key needs; 'open': no key is needed. */
export type RouteScope = 'open' | 'infer' | 'feedback' | 'train' | 'admin'

/** The usage of one request, reported once when it ends, also if it was cut off. */
export interface UsageReport extends AnswerUsage {
  /** The expert as a mixture is written; undefined: the base. */
  readonly expert: string | undefined
  /** The request's `user`. */
  readonly user: string | undefined
  /** 'cancelled': the client disconnected. */
  readonly end: 'done' | 'cancelled' | 'failed'
  readonly promptMs: number
  readonly decodeMs: number
}

/** Values that middleware and routes share. */
export interface ServerEnv {
  /** What a program passes when it calls its own server; clients cannot. */
  Bindings: {
    /** The name of the key that the request counts for; '': none. */
    onBehalfOf?: string | undefined
  }
  Variables: {
    /** The route that was matched; undefined for an unknown path. */
    route: Route | undefined
    requestId: string | undefined
    /** Set by middleware: the service as this request uses it, counted and bounded. */
    service: Service | undefined
    /** The body as it was read and checked. */
    body: Readonly<Record<string, unknown>> | undefined
    /** Set by middleware: receives the request's usage. */
    reportUsage: ((usage: UsageReport) => void) | undefined
    /** Set by middleware: keeps the cached prefixes of one tenant from others. */
    tenant: string | undefined
    /** Set by middleware: the scopes of the key; undefined if no key is needed. */
    scopes: readonly string[] | undefined
  }
}

export type ServerContext = Context<ServerEnv>
export type Middleware = MiddlewareHandler<ServerEnv>

/** The body of a route: a table of fields, and names that are known and cannot be used here. */
export interface BodyForm<Of extends Fields = Fields> {
  readonly fields: Of
  readonly required: readonly (keyof Of & string)[]
  /** Required, but checked by the route, which has its own message if one is missing. */
  readonly needed?: readonly (keyof Of & string)[]
  /**
   * Known to clients, without effect here: name → accepted values, and the reason why no others.
   */
  readonly refused?: Readonly<Record<string, RefusedField>>
}

export interface RefusedField {
  readonly reason: string
  /** Values that ask for what happens anyway. */
  readonly neutral?: readonly unknown[]
}

/** One request to a route. */
export interface RouteCall<Body = unknown> {
  readonly service: Service
  readonly body: Body
  /** The parts of the path in braces. */
  readonly parameters: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal
  readonly context: ServerContext
  /** Seconds since 1970. */
  readonly created: number
  /** A new id with this prefix: `chatcmpl-…`. */
  readonly createId: (prefix: string) => string
  /** The program's version. */
  readonly version: string
}

/** Converts OpenAI's error object to the body of another API. */
export type ErrorDescriber = (body: ErrorBody, requestId: string | undefined) => object

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With parameters in braces: `/v1/models/{model}`; the last one may hold slashes. */
  readonly path: string
  readonly scope: RouteScope
  readonly tag: string
  readonly summary: string
  readonly body?: BodyForm
  /** In place of `body`, where the body is a list. */
  readonly listBody?: Field
  /** In place of `body`, where the route reads the request itself. */
  readonly ownBody?: { readonly contentType: string; readonly schema: JsonSchema }
  /** The content of status 200, as a JSON Schema. */
  readonly answer?: JsonSchema
  /** The content type of a 200 that is not JSON. */
  readonly contentType?: string
  /** An error's body in the form of this route's API. Default: OpenAI's. */
  readonly describeError?: ErrorDescriber
  handle(call: RouteCall): Promise<Response>
}

/** Types the body of `handle` by the table of fields; the app has checked it before. */
export function defineRoute<const Of extends Fields>(
  route: Omit<Route, 'handle' | 'body'> & {
    readonly body: BodyForm<Of>
    handle(call: RouteCall<GivenOptions<Of>>): Promise<Response>
  },
): Route
export function defineRoute(route: Omit<Route, 'body'>): Route
export function defineRoute(route: unknown): Route {
  return route as Route
}
