// Vectors beside published experts, so that a search by meaning reads the index alone: 8 bits for
// each number, in base64. The vector of an expert without one is computed during the search.

import { decodeBase64, encodeBase64 } from '../signing/ecdsa.ts'
import { type Embedder, embedExperts, type EmbedProgress } from '../meaning.ts'
import type { SearchQuery, SearchResult } from '../registry.ts'
import { createSearchIndex, searchExperts } from '../search.ts'
import { listPublished, type LayoutIndex, type PublishedExpert } from './layout-index.ts'

/** 127 levels on each side of zero: cosines change by less than 0.002. */
const mostLevel = 127

/** Only its direction counts, so that no scale is kept. */
export function encodeVector(vector: Float32Array): string {
  const most = vector.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
  const levels = Int8Array.from(vector, (value) => Math.round((value / (most || 1)) * mostLevel))
  return encodeBase64(new Uint8Array(levels.buffer))
}

/** The vector, of length 1; undefined for an invalid text. */
export function decodeVector(text: string): Float32Array | undefined {
  const bytes = decodeBase64(text)
  if (!bytes || bytes.length === 0) return undefined
  const levels = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = Math.hypot(...levels)
  return length > 0 ? Float32Array.from(levels, (level) => level / length) : undefined
}

/** Experts that are read at a time. */
const batchSize = 32

export interface MeaningOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: EmbedProgress) => void) | undefined
}

/**
 * The newest published versions by what a question means; the rest of the query filters. Reads the
 * descriptions of those that were published without a vector of this embedder.
 */
export async function searchPublishedByMeaning(
  index: LayoutIndex,
  embedder: Embedder,
  question: string,
  query: Omit<SearchQuery, 'vector' | 'embedder'> = {},
  { signal, onProgress }: MeaningOptions = {},
): Promise<readonly SearchResult[]> {
  const experts = listPublished(index)
  const vectors = new Map(experts.map((expert) => [expert, findVector(expert, embedder.id)]))
  const missing = experts.filter((expert) => !vectors.get(expert))
  for (let done = 0; done < missing.length; done += batchSize) {
    signal?.throwIfAborted()
    onProgress?.({ done, total: missing.length })
    const batch = missing.slice(done, done + batchSize)
    const made = await embedExperts(batch, embedder, signal)
    batch.forEach((expert, i) => vectors.set(expert, made[i]!.vector))
  }
  const [vector] = await embedder.embed([question], signal)
  const searched = experts.map((expert) =>
    Object.assign({}, expert, { vector: vectors.get(expert) }),
  )
  return searchExperts(createSearchIndex(searched), Object.assign({}, query, { vector }))
}

const findVector = ({ vectors }: PublishedExpert, embedder: string): Float32Array | undefined =>
  vectors?.[embedder] === undefined ? undefined : decodeVector(vectors[embedder])
