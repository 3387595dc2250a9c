// The server's view of its registry: experts by reference, by words, filters and meaning, and which
// of them are in memory.

import { NotFoundError, OptionError } from '../../base/errors.ts'
import { createEmbedder, type Embedder, searchByMeaning } from '../../registry/meaning.ts'
import type { RegisteredExpert, Registry, SearchResult } from '../../registry/registry.ts'
import { RequestError } from '../request-error.ts'
import type { RegisteredEntry, RegisteredQuery, Service } from '../service.ts'
import type { ResidentVersions } from './resident-versions.ts'

export interface EntryFinder {
  readonly registry: Registry
  readonly residents: ResidentVersions
  /** Embeds questions and descriptions by the base's hidden states. */
  readonly embedder: Embedder
}

export async function findEntries(
  query: RegisteredQuery,
  { registry, residents, embedder }: EntryFinder,
): Promise<RegisteredEntry[]> {
  const { reference, meaning, ...filters } = query
  const toEntries = (found: readonly (RegisteredExpert & Partial<SearchResult>)[]) =>
    found.map((expert) => toEntry(expert, residents.has(expert)))
  if (reference !== undefined) return toEntries([await resolveReference(reference, registry)])
  if (meaning !== undefined)
    return toEntries(await searchByMeaning(registry, embedder, meaning, filters))
  const isSearch = Object.values(filters).some((value) => value !== undefined)
  return toEntries(isSearch ? await registry.search(filters) : await registry.list())
}

async function resolveReference(reference: string, registry: Registry): Promise<RegisteredExpert> {
  try {
    return await registry.resolve(reference)
  } catch (error) {
    if (!(error instanceof NotFoundError || error instanceof OptionError)) throw error
    throw new RequestError(
      error.message,
      { status: 404, param: 'model', code: 'model_not_found' },
      { cause: error },
    )
  }
}

/** An embedder over a service's base; its experts are not used. */
export async function createServiceEmbedder(service: Service): Promise<Embedder> {
  const { name } = await service.describe()
  return createEmbedder(
    name,
    async (inputs, signal) => (await service.embed({ inputs, model: name }, signal)).vectors,
  )
}

const toEntry = (
  expert: RegisteredExpert & Partial<Pick<SearchResult, 'similarity'>>,
  isResident: boolean,
): RegisteredEntry => {
  const { id, version, hash, sizeBytes, addedAt, tags, channels, manifest, similarity } = expert
  const { kind, description } = manifest
  return {
    id,
    version,
    sha256: hash,
    kind: typeof kind === 'string' ? kind : kind.join('+'),
    description,
    channels,
    tags,
    sizeBytes,
    addedAt: Math.floor(Date.parse(addedAt) / 1000),
    isResident,
    similarity,
  }
}
