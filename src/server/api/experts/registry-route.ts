// The server's registry: search experts by words, filters and meaning, or read one by reference.

import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'
import type { RegisteredEntry, RegisteredQuery } from '../../service.ts'

/** The version in memory has this hash as its key. */
export const toRegisteredBody = (entry: RegisteredEntry) => ({
  id: entry.id,
  object: 'registered_expert',
  version: entry.version,
  sha256: entry.sha256,
  kind: entry.kind,
  description: entry.description ?? null,
  channels: entry.channels,
  tags: entry.tags,
  bytes: entry.sizeBytes,
  added: entry.addedAt,
  resident: entry.isResident,
  ...(entry.similarity !== undefined && { similarity: entry.similarity }),
})

const parameters = ['reference', 'text', 'meaning', 'tag', 'domain', 'limit']

export const registryRoute = defineRoute({
  method: 'GET',
  path: '/v1/registry',
  scope: 'infer',
  tag: 'Experts',
  summary:
    'Finds experts of the registry: ?reference=, ?text=, ?meaning=, ?tag= (several), ?domain=, ?limit=.',
  async handle({ service, query }) {
    const found = await service.findRegistered(readQuery(query))
    return Response.json({ object: 'list', data: found.map(toRegisteredBody) })
  },
})

function readQuery(query: URLSearchParams): RegisteredQuery {
  for (const name of query.keys())
    if (!parameters.includes(name))
      throw new RequestError(
        `There is no parameter ${JSON.stringify(name.slice(0, 100))}; there are ${parameters.join(', ')}.`,
        {
          param: name.slice(0, 100),
          code: 'unknown_parameter',
        },
      )
  const read = (name: string): string | undefined => query.get(name) ?? undefined
  const tags = query.getAll('tag')
  return {
    reference: read('reference'),
    text: read('text'),
    meaning: read('meaning'),
    tags: tags.length === 0 ? undefined : tags,
    domain: read('domain'),
    limit: readLimit(read('limit')),
  }
}

function readLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= 1000) return limit
  throw new RequestError(
    `limit: got ${JSON.stringify(text.slice(0, 100))}, expected an integer from 1 to 1000.`,
    { param: 'limit', code: 'invalid_value' },
  )
}
