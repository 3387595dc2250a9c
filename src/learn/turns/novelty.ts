// How unlike a question is to the last ones of its user, by vectors that the caller gives. One
// question asked again and again then teaches less each time. Knows no model: hidden states of one
// model all lie close together and would not tell questions apart.

import { OptionError } from '../../base/errors.ts'

/** Questions that are remembered. */
export const keptQueries = 32

function dot(one: Float32Array, two: Float32Array): number {
  let sum = 0
  for (let i = 0, size = one.length; i < size; i++) sum += one[i]! * two[i]!
  return sum
}

/**
 * 1 − the largest cosine between a question and the user's last 32, between 0 and 1; ½ for the
 * first one. The question joins them. Throws OptionError for a vector of another length than
 * theirs, or of length 0.
 */
export function measureNovelty(queries: Float32Array[], embedding: Float32Array): number {
  const expected = queries[0]?.length ?? embedding.length
  if (embedding.length !== expected)
    throw new OptionError(
      `queryEmbedding has ${embedding.length} numbers, those before it had ${expected}; keep to one model of embeddings.`,
    )
  const length = Math.sqrt(dot(embedding, embedding))
  if (!(length > 0)) throw new OptionError('queryEmbedding is all zeros.')
  const unit = embedding.map((value) => value / length)
  const cosines = queries.map((query) => dot(query, unit))
  queries.push(unit)
  if (queries.length > keptQueries) queries.shift()
  return cosines.length === 0 ? 0.5 : Math.min(1, Math.max(0, 1 - Math.max(...cosines)))
}

/** What it multiplies a step by: ½ for a question heard already, 1½ for one that is like none. */
export const computeNoveltyRate = (novelty: number): number => 0.5 + novelty
