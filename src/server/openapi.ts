// The OpenAPI document of a server, generated from the rows that its routes are checked by.

import { describeFields, type Fields, type JsonSchema } from '../base/schema.ts'
import { createErrorBody } from './error-response.ts'
import { RequestError } from './request-error.ts'
import { defineRoute, type Route } from './route.ts'

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  },
}

const errorStatuses: Readonly<Record<number, string>> = {
  400: 'The request is wrong; param names the field.',
  401: 'There is no valid key.',
  403: 'The key may not do this.',
  404: 'The model, expert or path is unknown.',
  405: 'The path takes other methods.',
  409: 'Somebody else has changed the same in between.',
  413: 'The body is too large.',
  429: 'A limit is reached; Retry-After has the seconds to wait.',
  500: 'The server failed.',
  501: 'The model or this build cannot do it.',
  503: 'The server is shutting down or not ready.',
}

/** The schema of values like this one; null may be anything. */
function describeSample(value: unknown): JsonSchema {
  if (value === null || value === undefined) return {}
  if (Array.isArray(value)) return { type: 'array' }
  if (typeof value !== 'object') return { type: typeof value }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return {
    type: 'object',
    required: entries.map(([name]) => name),
    properties: Object.fromEntries(entries.map(([name, item]) => [name, describeSample(item)])),
  }
}

/** Errors are as the route describes them, else OpenAI's. */
function describeErrors({ describeError }: Route): JsonSchema {
  const sample = createErrorBody(new RequestError('It is wrong.', { param: 'model' }))
  const schema = describeError
    ? describeSample(describeError(sample, undefined))
    : { $ref: '#/components/schemas/Error' }
  return Object.fromEntries(
    Object.entries(errorStatuses).map(([status, description]) => [
      status,
      { description, content: { 'application/json': { schema } } },
    ]),
  )
}

/** The schema of a body: null means a field that is left out. */
function describeBody(fields: Fields, required: readonly string[]): JsonSchema {
  const { properties, ...rest } = describeFields(fields)
  const open = Object.entries(properties as Record<string, JsonSchema>).map(([name, schema]) => [
    name,
    required.includes(name) ? schema : { anyOf: [schema, { type: 'null' }] },
  ])
  return { ...rest, properties: Object.fromEntries(open), ...(required.length > 0 && { required }) }
}

function describeAnswer({ answer, contentType = 'application/json', body }: Route): JsonSchema {
  const isStreamed = body !== undefined && Object.hasOwn(body.fields, 'stream')
  const whole = { schema: answer ?? {} }
  const stream = contentType === 'application/json' ? 'text/event-stream' : contentType
  // OpenAPI 3.1 cannot describe the records of a stream
  const content = isStreamed
    ? { 'application/json': whole, [stream]: {} }
    : { [contentType]: whole }
  return { description: 'Done.', content }
}

function describeRoute(route: Route): JsonSchema {
  const { path, method, summary, tag, scope, body, listBody, ownBody } = route
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  const schema = body
    ? describeBody(body.fields, [...body.required, ...(body.needed ?? [])])
    : (ownBody ?? listBody)?.schema
  const { contentType = 'application/json' } = ownBody ?? {}
  const words = path.split(/\W+/).filter((word) => word !== '')
  return {
    summary,
    tags: [tag],
    operationId: [method.toLowerCase(), ...words].join('_'),
    security: scope === 'open' ? [] : [{ bearer: [] }, { apiKey: [] }],
    'x-scope': scope,
    ...(names.length > 0 && {
      parameters: names.map((name) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string', minLength: 1 },
      })),
    }),
    ...(schema && {
      requestBody: { required: true, content: { [contentType]: { schema } } },
    }),
    responses: { 200: describeAnswer(route), ...describeErrors(route) },
  }
}

export function createOpenApi(routes: readonly Route[], version: string): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {}
  for (const route of routes)
    (paths[route.path] ??= {})[route.method.toLowerCase()] = describeRoute(route)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Graft',
      version,
      description: 'One base model, many experts: the routes of graft serve.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      schemas: { Error: errorSchema },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
      },
    },
  }
}

/** GET /openapi.json over these routes and itself. */
export function createOpenApiRoute(routes: readonly Route[], version: string): Route {
  const own: Route = defineRoute({
    method: 'GET',
    path: '/openapi.json',
    scope: 'open',
    tag: 'Server',
    summary: 'Describes these routes.',
    async handle() {
      return Response.json(createOpenApi([...routes, own], version))
    },
  })
  return own
}
