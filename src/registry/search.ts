// Search over registered experts: filters, words, and the cosine of vectors.

import { OptionError } from '../base/errors.ts'
import {
  createField,
  type OptionValues,
  integer,
  listOf,
  number,
  object,
  readOptions,
  string,
} from '../base/schema.ts'
import type { SearchResult, RegisteredExpert, SearchQuery } from './registry.ts'

const queryFields = {
  text: string(),
  tags: listOf(string({ filled: true })),
  domain: string({ filled: true }),
  base: string({ filled: true }),
  score: object({ metric: string({ filled: true }), least: number() }),
  vector: createField<Float32Array>('a Float32Array', {}, (value) => value instanceof Float32Array),
  limit: integer({ from: 1, default: 20 }),
}

type QueryFilters = Omit<OptionValues<typeof queryFields>, 'vector' | 'limit'>

export interface SearchableExpert extends RegisteredExpert {
  /** Of length 1; undefined for an expert that was added without one. */
  readonly vector: Float32Array | undefined
}

/**
 * The experts that fit, the most similar first, or those whose names come first. A search by meaning
 * leaves out experts without a vector. Throws OptionError for vectors of another length.
 */
export function searchExperts(
  experts: readonly SearchableExpert[],
  given: SearchQuery,
): SearchResult[] {
  const { vector, limit, ...query } = readOptions('Search', given, queryFields)
  if (query.score && (query.score.metric === undefined || query.score.least === undefined))
    throw new OptionError('Search: score: expected { metric, least }.')
  const found = experts
    .filter((expert) => isWanted(expert, query))
    .flatMap((expert): SearchResult[] => {
      if (!vector) return [withoutVector(expert, undefined)]
      const { vector: own } = expert
      return own ? [withoutVector(expert, multiplyVectors(own, vector))] : []
    })
  return found.toSorted(compareFound).slice(0, limit)
}

const compareFound = (a: SearchResult, b: SearchResult): number =>
  (b.similarity ?? 0) - (a.similarity ?? 0) || (a.id < b.id ? -1 : 1)

function withoutVector(expert: SearchableExpert, similarity: number | undefined): SearchResult {
  const { vector: _vector, ...shown } = expert
  return { ...shown, similarity }
}

function isWanted(
  { id, tags, manifest }: SearchableExpert,
  { text = '', tags: wanted = [], domain, base, score }: QueryFilters,
): boolean {
  if (!wanted.every((tag) => tags.includes(tag))) return false
  if (domain !== undefined && !manifest.domains?.includes(domain)) return false
  if (base !== undefined && base !== manifest.base.id && base !== manifest.base.sha256) return false
  if (score && !((manifest.scores?.[score.metric!]?.value ?? -Infinity) >= score.least!))
    return false
  const { name = '', description = '', domains = [], routing = {} } = manifest
  const { keywords = [], examples = [] } = routing
  const said = [id, name, description, ...tags, ...domains, ...keywords, ...examples]
  const all = said.join('\n').toLowerCase()
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word))
}

function multiplyVectors(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length)
    throw new OptionError(
      `Search: got a vector of ${b.length} numbers, and experts were added with ${a.length}: they are of different models.`,
    )
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
