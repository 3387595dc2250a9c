// Finds the key of a request and checks its scope. The decision depends on the matched route, not
// on the path, so that no spelling of a path gets around it.

import { RequestError } from '../request-error.ts'
import type { Route, ServerContext } from '../route.ts'
import { type ApiKeyRecord, describeApiKey, hasScope } from './api-key.ts'
import type { KeyRing } from './key-ring.ts'

/** The clients that are allowed while no key was ever created. */
export const keylessAccesses = ['nobody', 'loopback', 'anyone'] as const
export type KeylessAccess = (typeof keylessAccesses)[number]

/**
 * The key of a request; undefined if none is needed, because none was ever created. Throws
 * RequestError of status 401.
 */
export async function getRequestKey(
  context: ServerContext,
  keys: KeyRing,
  keyless: KeylessAccess,
): Promise<ApiKeyRecord | undefined> {
  if (keyless !== 'nobody' && !(await keys.hasKeys())) return undefined
  const name = context.env?.onBehalfOf
  if (name !== undefined) return getNamedKey(name, keys)
  const text = readPresentedKey(context)
  const key = text === undefined ? undefined : await keys.find(text)
  if (key === undefined) throw refuseKey(text)
  return key
}

/** The key of work that continues after its request. Throws if it was revoked meanwhile. */
async function getNamedKey(name: string, keys: KeyRing): Promise<ApiKeyRecord> {
  const found = (await keys.list()).find((key) => key.name === name)
  if (found && found.revokedAt === undefined) return found
  throw new RequestError(
    name === ''
      ? 'This request had no key, and the server now requires one.'
      : `The key ${JSON.stringify(name)}, which asked for this, was revoked.`,
    { status: 401, type: 'authentication_error', code: 'invalid_api_key' },
  )
}

/** `Authorization: Bearer K`, or `X-Api-Key: K`. */
function readPresentedKey({ req }: ServerContext): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(req.header('authorization') ?? '') ?? []
  return bearer ?? req.header('x-api-key')?.trim()
}

function refuseKey(text: string | undefined): RequestError {
  const message =
    text === undefined
      ? 'This server needs an API key: send the header "Authorization: Bearer <key>" or "X-Api-Key: <key>".'
      : 'The API key is unknown here or was revoked.'
  return new RequestError(message, {
    status: 401,
    type: 'authentication_error',
    code: text === undefined ? 'missing_api_key' : 'invalid_api_key',
  })
}

/** Throws RequestError of status 403 if the key lacks the route's scope. */
export function checkScope(key: ApiKeyRecord | undefined, route: Route): void {
  if (key === undefined || route.scope === 'open' || hasScope(key, route.scope)) return
  throw new RequestError(
    `${route.method} ${route.path} needs a key with the scope "${route.scope}"; ${describeApiKey(key)} has ${key.scopes.join(', ')}.`,
    { status: 403, type: 'permission_error', code: 'insufficient_scope' },
  )
}
