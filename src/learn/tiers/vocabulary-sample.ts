// A part of the vocabulary that stands for what lies beyond the likeliest tokens: often met tokens
// all, rare ones by sample. Knows no model.

export interface VocabularySample {
  /** In rising order. */
  readonly ids: Int32Array
  /**
   * How many tokens of the vocabulary each stands for: 1 / the share of its like that was taken.
   */
  readonly counts: Float32Array
}

const offset = 100 // of Zipf's law: the first hundred tokens are bytes and marks, as frequent as one another

/**
 * About `count` tokens, taken evenly along Σ 1/(id + 100): tokenizers number their tokens in the
 * order of how often they were met when those were made, so that this is about the share of each in
 * running text.
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
