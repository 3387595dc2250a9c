// Novelty of a question: 1 − its largest cosine to the user's last questions, from vectors that the
// caller passes. The novelty scales the step, so that a repeated question has less effect each
// time. Independent of the model, because hidden states of one model are all similar and would not
// separate questions.

import { OptionError } from '../../base/errors.ts'

/** How many questions are kept. */
export const keptQueries = 32

function dot(one: Float32Array, two: Float32Array): number {
  let sum = 0
  for (let i = 0, size = one.length; i < size; i++) sum += one[i]! * two[i]!
  return sum
}

/**
 * 1 − the largest cosine between a question and the user's last 32, between 0 and 1; ½ for the
 * first one. The question is added to them. Throws OptionError for a vector of another length than
 * theirs, or of length 0.
 */
export function measureNovelty(queries: Float32Array[], embedding: Float32Array): number {
  const expected = queries[0]?.length ?? embedding.length
  if (embedding.length !== expected)
    throw new OptionError(
      `queryEmbedding has ${embedding.length} numbers, those before it had ${expected}; use one embedding model.`,
    )
  const length = Math.sqrt(dot(embedding, embedding))
  if (!(length > 0)) throw new OptionError('queryEmbedding is all zeros.')
  const unit = embedding.map((value) => value / length)
  const cosines = queries.map((query) => dot(query, unit))
  queries.push(unit)
  if (queries.length > keptQueries) queries.shift()
  return cosines.length === 0 ? 0.5 : Math.min(1, Math.max(0, 1 - Math.max(...cosines)))
}

/** Factor of the step: ½ for a repeated question, 1½ for one unlike all others. */
export const computeNoveltyRate = (novelty: number): number => 0.5 + novelty
