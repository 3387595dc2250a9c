// The contract of a route: one row says its path, who may call it, what its body is and what it
// does. The app mounts the rows, and /openapi.json is written from them.

import type { Context, MiddlewareHandler } from 'hono'
import type { Field, Fields, GivenOptions, JsonSchema } from '../base/schema.ts'
import type { ErrorBody } from './error-response.ts'
import type { AnswerUsage, Service } from './service.ts'

/** What a key must be allowed to do; 'open': no key is needed. */
export type RouteScope = 'open' | 'infer' | 'feedback' | 'train' | 'admin'

/** What one request took, reported once when it ends, also where it was cut off. */
export interface UsageReport extends AnswerUsage {
  /** The expert as a mixture is written; undefined: the base. */
  readonly expert: string | undefined
  /** The request's `user`. */
  readonly user: string | undefined
  /** 'cancelled': the client went away. */
  readonly end: 'done' | 'cancelled' | 'failed'
  readonly promptMs: number
  readonly decodeMs: number
}

/** What middleware and routes tell each other. */
export interface ServerEnv {
  /** What a program that asks its own server says beside the request; clients cannot. */
  Bindings: {
    /** The name of the key that the request counts as; '': of nobody. */
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
    /** Set by middleware: takes what the request used. */
    reportUsage: ((usage: UsageReport) => void) | undefined
    /** Set by middleware: keeps the cached prefixes of one tenant from others. */
    tenant: string | undefined
    /** Set by middleware: what the key may do; undefined where no key is needed. */
    scopes: readonly string[] | undefined
  }
}

export type ServerContext = Context<ServerEnv>
export type Middleware = MiddlewareHandler<ServerEnv>

/** The body of a route: a table of fields, and names that are known and cannot be used here. */
export interface BodyForm<Of extends Fields = Fields> {
  readonly fields: Of
  readonly required: readonly (keyof Of & string)[]
  /** Required too, and looked at by the route, which has words of its own for what is missing. */
  readonly needed?: readonly (keyof Of & string)[]
  /**
   * Known to clients, without effect here: name → what is accepted all the same, and why not
   * others.
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
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal
  readonly context: ServerContext
  /** Seconds since 1970. */
  readonly created: number
  /** A new id with this in front: `chatcmpl-…`. */
  readonly createId: (prefix: string) => string
  /** Of this program. */
  readonly version: string
}

/** From OpenAI's error object to the body of another API. */
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
  /** What status 200 holds, as a JSON Schema. */
  readonly answer?: JsonSchema
  /** The content type of a 200 that is no JSON. */
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
