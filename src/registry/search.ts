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
import type { ExpertVector, SearchResult, RegisteredExpert, SearchQuery } from './registry.ts'

const queryFields = {
  text: string(),
  tags: listOf(string({ filled: true })),
  domain: string({ filled: true }),
  base: string({ filled: true }),
  score: object({ metric: string({ filled: true }), least: number() }),
  vector: createField<Float32Array>('a Float32Array', {}, (value) => value instanceof Float32Array),
  embedder: string({ filled: true }),
  limit: integer({ from: 1, default: 20 }),
}

type QueryFilters = Omit<OptionValues<typeof queryFields>, 'vector' | 'limit' | 'embedder'>

export interface SearchableExpert extends RegisteredExpert {
  /** Of length 1; undefined for an expert that was added without one. */
  readonly vector: Float32Array | undefined
}

/** The experts of a search, with their words and vectors. */
export interface SearchIndex {
  readonly experts: readonly SearchableExpert[]
  /** An expert's texts in lower case; made once, at the first search for words. */
  getText(index: number): string
}

export function createSearchIndex(experts: readonly SearchableExpert[]): SearchIndex {
  const texts: (string | undefined)[] = []
  return { experts, getText: (i) => (texts[i] ??= describeExpert(experts[i]!)) }
}

/**
 * The experts that match: the most similar first, or by name if the query has no vector. A search
 * by meaning leaves out experts without a vector. Throws OptionError for vectors of another length.
 */
export function searchExperts(index: SearchIndex, given: SearchQuery): SearchResult[] {
  const { vector, limit, embedder: _embedder, ...query } = readOptions('Search', given, queryFields)
  if (query.score && (query.score.metric === undefined || query.score.least === undefined))
    throw new OptionError('Search: score: expected { metric, least }.')
  const words = (query.text ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  const found: { expert: SearchableExpert; similarity: number | undefined }[] = []
  for (const [i, expert] of index.experts.entries()) {
    if (vector && !expert.vector) continue
    if (!isWanted(expert, query)) continue
    if (words.length > 0 && !words.every((word) => index.getText(i).includes(word))) continue
    const similarity = vector && multiplyVectors(expert.vector!, vector)
    found.push({ expert, similarity })
  }
  found.sort(
    (a, b) => (b.similarity ?? 0) - (a.similarity ?? 0) || (a.expert.id < b.expert.id ? -1 : 1),
  )
  return found.slice(0, limit).map(({ expert, similarity }) => {
    const { vector: _vector, ...shown } = expert
    return { ...shown, similarity }
  })
}

/** Throws OptionError for vectors that cannot be compared, or an embedder without a name. */
export function checkVectors(embedder: string, vectors: readonly ExpertVector[]): void {
  if (embedder === '')
    throw new OptionError(
      'Vectors: the embedder has no name, which is needed to find its vectors again.',
    )
  const wrong = vectors.filter(
    ({ vector }) =>
      !(vector instanceof Float32Array) ||
      vector.length !== vectors[0]!.vector.length ||
      !vector.every(Number.isFinite),
  )
  if (wrong.length > 0)
    throw new OptionError(
      `Vectors: expected Float32Arrays of finite numbers, all of one length; got others for ${wrong.map(({ id, version }) => `${id}@${version}`).join(', ')}.`,
    )
}

function isWanted(
  { tags, manifest }: SearchableExpert,
  { tags: wanted = [], domain, base, score }: QueryFilters,
): boolean {
  if (!wanted.every((tag) => tags.includes(tag))) return false
  if (domain !== undefined && !manifest.domains?.includes(domain)) return false
  const { id, sha256, digest } = manifest.base
  if (base !== undefined && ![id, sha256, digest].includes(base)) return false
  return !score || (manifest.scores?.[score.metric!]?.value ?? -Infinity) >= score.least!
}

function describeExpert({ id, tags, manifest }: SearchableExpert): string {
  const { name = '', description = '', domains = [], routing = {} } = manifest
  const { keywords = [], examples = [] } = routing
  const said = [id, name, description, ...tags, ...domains, ...keywords, ...examples]
  return said.join('\n').toLowerCase()
}

function multiplyVectors(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length)
    throw new OptionError(
      `Search: got a vector of ${b.length} numbers, and experts were added with ${a.length}: they are of different models.`,
    )
  // Four sums that do not wait for each other take half of the time.
  let first = 0
  let second = 0
  let third = 0
  let fourth = 0
  const whole = a.length - (a.length % 4)
  for (let i = 0; i < whole; i += 4) {
    first += a[i]! * b[i]!
    second += a[i + 1]! * b[i + 1]!
    third += a[i + 2]! * b[i + 2]!
    fourth += a[i + 3]! * b[i + 3]!
  }
  for (let i = whole; i < a.length; i++) first += a[i]! * b[i]!
  return first + second + (third + fourth)
}
