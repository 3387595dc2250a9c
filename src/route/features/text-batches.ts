// What embedders share: long texts cut to what is read, texts of like length in one batch, vectors
// of length 1.

/**
 * The part of a text that is tokenized: tokens have two characters and more on average.
 */
const charactersPerToken = 16

/** Tokens of a batch at most, padding included; one text may have more. */
const usualTokens = 512

/**
 * A text cut to enough characters for so many tokens, half from its beginning, half from its end.
 */
export function shortenText(text: string, maxTokens: number): string {
  const most = maxTokens * charactersPerToken
  return text.length <= most ? text : `${text.slice(0, most / 2)} ${text.slice(-most / 2)}`
}

/** The beginning and the end: the question is at one of them. */
export const cutMiddle = (ids: readonly number[], most: number): readonly number[] =>
  ids.length <= most
    ? ids
    : [...ids.slice(0, Math.ceil(most / 2)), ...ids.slice(-Math.floor(most / 2))]

/** Numbers of rows, those of like length together, `most` tokens a batch. */
export function planBatches(lengths: readonly number[], most = usualTokens): number[][] {
  const order = lengths.map((_, i) => i).toSorted((a, b) => lengths[a]! - lengths[b]!)
  const batches: number[][] = []
  for (const i of order) {
    const last = batches.at(-1)
    if (last && (last.length + 1) * lengths[i]! <= most) last.push(i)
    else batches.push([i])
  }
  return batches
}

export function scaleToLengthOne(values: Float32Array): void {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0
  for (let i = 0; i < values.length; i++) values[i]! *= scale
}
