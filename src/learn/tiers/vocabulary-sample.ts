// A sample of the vocabulary that represents the tokens beyond the top k: all frequent tokens, and
// rare ones by sample (sampled softmax). Independent of the model.

export interface VocabularySample {
  /** In rising order. */
  readonly ids: Int32Array
  /**
   * The number of tokens that each sampled one represents: 1 / its probability of being sampled.
   */
  readonly counts: Float32Array
}

// Of Zipf's law: the first hundred tokens are bytes and control tokens of about equal frequency.
const offset = 100

/**
 * About `count` tokens, taken evenly along Σ 1/(id + 100). Tokenizers number their tokens by
 * frequency in their training text, so that 1/(id + 100) is about proportional to the share of each
 * in running text.
 */
export function sampleVocabulary(size: number, count: number): VocabularySample {
  if (count >= size)
    return {
      ids: Int32Array.from({ length: size }, (_, id) => id),
      counts: new Float32Array(size).fill(1),
    }
  const weight = (id: number): number => 1 / (id + offset)
  let whole = 0
  for (let id = 0; id < size; id++) whole += weight(id)
  const ids: number[] = []
  const counts: number[] = []
  let reached = 0.5
  for (let id = 0; id < size; id++) {
    const share = (count * weight(id)) / whole
    reached += share
    if (reached < 1 && share < 1) continue
    reached -= Math.floor(reached)
    ids.push(id)
    counts.push(Math.max(1, 1 / share))
  }
  return { ids: Int32Array.from(ids), counts: Float32Array.from(counts) }
}
