// Search by meaning: experts' descriptions and examples as vectors of a base model's states, kept
// in the registry, computed once for each version and each embedder. Independent of models.

import { createMatrix } from '../base/linalg/matrix.ts'
import { svd } from '../base/linalg/svd.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { ExpertManifest } from './manifest/manifest-fields.ts'
import type {
  ExpertVector,
  RegisteredExpert,
  Registry,
  SearchQuery,
  SearchResult,
} from './registry.ts'

export interface Embedder {
  /** Names the base and how texts become vectors: vectors of another one are computed again. */
  readonly id: string
  /** One vector of length 1 for each text. */
  embed(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>
}

/** Raised where vectors are made another way. */
const recipe = 1

/** Examples that count, and characters of a text. */
const mostExamples = 8
const mostCharacters = 1000

/** Texts without a subject in common: what their vectors share, those of all texts share. */
const plainTexts: readonly string[] = [
  'The weather was fine yesterday, and we went for a walk by the river.',
  'Mix the flour with two eggs and bake it for half an hour.',
  'The committee will meet on Tuesday to talk about the budget.',
  'He opened the door slowly and looked into the dark room.',
  'Water boils at a lower temperature on high mountains.',
  'Please send me the invoice for the last order.',
  'The team won the match by two goals in the last minutes.',
  'Many birds fly south before the winter begins.',
  'function add(a, b) { return a + b }',
  'What is the capital of this country, and how many people live there?',
  'The patient was given the medicine twice a day for a week.',
  '{"name": "box", "size": 3, "tags": ["a", "b"]}',
  'Writes emails',
  'sum up a meeting',
  'Plans a journey by train',
  'compare two phones',
  'Answers questions about history',
  'how do I fix a bicycle',
  'Finds errors in a text',
  'book a table for two',
  'Explains chemistry to pupils',
  'make a list of tasks',
  'Reads tables and charts',
  'a letter to a friend',
  'a poem about autumn',
  'Checks the grammar of French texts',
  'sort photos by date',
  'names for a cat',
]

/** Directions in which plain texts differ most: length and form, and no subject. */
const removedDirections = 6

/**
 * An embedder over a model's mean states of length 1. States of one model have nearly the same
 * direction for every text, so the mean of plain texts is subtracted, and their leading directions
 * are removed (Mu and Viswanath 2018, arXiv:1702.01417). `name`: the base.
 */
export function createEmbedder(
  name: string,
  embedTexts: (texts: readonly string[], signal?: AbortSignal) => Promise<readonly Float32Array[]>,
): Embedder {
  let plain: Promise<SharedPart> | undefined
  return {
    id: `${name}#${recipe}`,
    async embed(texts, signal) {
      if (texts.length === 0) return []
      plain ??= embedTexts(plainTexts).then(findSharedPart)
      const shared = await plain.catch((error: unknown) => {
        plain = undefined
        throw error
      })
      const short = texts.map((text) => text.slice(0, mostCharacters))
      const vectors = await embedTexts(short, signal)
      return vectors.map((vector) => scaleToOne(removeShared(vector, shared)))
    },
  }
}

/** What vectors of all texts have in common: D numbers, and directions of length 1. */
interface SharedPart {
  readonly mean: Float32Array
  readonly directions: readonly Float64Array[]
}

function findSharedPart(vectors: readonly Float32Array[]): SharedPart {
  const mean = averageVectors(vectors)
  const matrix = createMatrix(
    mean.length,
    vectors.length,
    new Float64Array(mean.length * vectors.length),
  )
  for (const [k, vector] of vectors.entries())
    for (let i = 0; i < mean.length; i++)
      matrix.data[i * vectors.length + k] = vector[i]! - mean[i]!
  const { u } = svd(matrix)
  const directions = Array.from({ length: Math.min(removedDirections, u.columns) }, (_, k) =>
    Float64Array.from(mean, (_value, i) => u.data[u.start + i * u.rowStride + k * u.columnStride]!),
  )
  return { mean, directions }
}

function removeShared(vector: Float32Array, { mean, directions }: SharedPart): Float32Array {
  const own = vector.map((value, i) => value - mean[i]!)
  for (const direction of directions) {
    const share = own.reduce((sum, value, i) => sum + value * direction[i]!, 0)
    for (let i = 0; i < own.length; i++) own[i]! -= share * direction[i]!
  }
  return own
}

/** Inputs of one call, so that long lists take no more memory than short ones. */
const embedBatch = 16

/** The same of a model. `source`: the name by which it was loaded. */
export const createModelEmbedder = (
  source: string,
  model: { embed(texts: readonly string[]): Promise<F32Tensor> },
): Embedder =>
  createEmbedder(source, async (texts, signal) => {
    const vectors: Float32Array[] = []
    for (let at = 0; at < texts.length; at += embedBatch) {
      signal?.throwIfAborted()
      const { data, shape } = await model.embed(texts.slice(at, at + embedBatch))
      for (let i = 0; i < shape[0]!; i++)
        vectors.push(data.slice(i * shape[1]!, (i + 1) * shape[1]!))
    }
    return vectors
  })

/** The texts that represent an expert: its description, and each of its examples. */
export function listMeaningTexts({
  id,
  name,
  description,
  domains = [],
  tags = [],
  routing = {},
}: ExpertManifest): string[] {
  const { keywords = [], examples = [] } = routing
  const words = [...new Set([...domains, ...tags, ...keywords])].join(', ')
  const about = [name ?? id, description, words].filter((text) => text !== undefined && text !== '')
  return [about.join('. '), ...examples.slice(0, mostExamples)]
}

/** Experts that are embedded at a time, so that what is done stays done. */
const batchSize = 32

export interface EmbedProgress {
  readonly done: number
  readonly total: number
}

/** Computes the vectors that are missing; returns how many. */
export async function embedMissing(
  registry: Registry,
  embedder: Embedder,
  {
    signal,
    onProgress,
  }: { signal?: AbortSignal | undefined; onProgress?: (progress: EmbedProgress) => void } = {},
): Promise<number> {
  const missing = await registry.listWithoutVector(embedder.id)
  for (let done = 0; done < missing.length; done += batchSize) {
    signal?.throwIfAborted()
    onProgress?.({ done, total: missing.length })
    const batch = missing.slice(done, done + batchSize)
    await registry.setVectors(embedder.id, await embedExperts(batch, embedder, signal))
  }
  return missing.length
}

/** The vectors of experts, from their descriptions and examples. */
export async function embedExperts(
  experts: readonly RegisteredExpert[],
  embedder: Embedder,
  signal?: AbortSignal,
): Promise<ExpertVector[]> {
  const texts = experts.map(({ manifest }) => listMeaningTexts(manifest))
  const vectors = await embedder.embed(texts.flat(), signal)
  let at = 0
  return experts.map(({ id, version }, i) => {
    const own = vectors.slice(at, (at += texts[i]!.length))
    return { id, version, vector: scaleToOne(averageVectors(own)) }
  })
}

/**
 * Searches by what a question means; the rest of the query filters. Embeds what is missing first.
 */
export async function searchByMeaning(
  registry: Registry,
  embedder: Embedder,
  question: string,
  query: Omit<SearchQuery, 'vector' | 'embedder'> = {},
  options: Parameters<typeof embedMissing>[2] = {},
): Promise<readonly SearchResult[]> {
  await embedMissing(registry, embedder, options)
  const [vector] = await embedder.embed([question], options.signal)
  return registry.search(Object.assign({}, query, { vector, embedder: embedder.id }))
}

function averageVectors(vectors: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(vectors[0]!.length)
  for (const vector of vectors)
    for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]! / vectors.length
  return sum
}

function scaleToOne(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}
