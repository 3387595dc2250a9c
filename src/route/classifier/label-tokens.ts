// Tokens that represent experts in a classifier's answer, and prompts as token ids that end where
// one of them follows.

import { UnsupportedError } from '../../base/errors.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'

/** What is between the prompt and the token of its expert. */
const question = '\n\nExpert:'

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * One token for each expert, all different: single letters first, then any others of the
 * vocabulary. Throws UnsupportedError if it has too few.
 */
export function chooseLabels(tokenizer: Tokenizer, count: number): Int32Array {
  const found = new Set<number>()
  const consider = (text: string): void => {
    const ids = tokenizer.encode(text)
    const last = ids.at(-1)
    if (last !== undefined && found.size < count && tokenizer.decode([last]).trim() === text.trim())
      found.add(last)
  }
  for (const letter of letters) consider(` ${letter}`)
  for (const first of letters) for (const second of letters) consider(` ${first}${second}`)
  for (let id = 0; id < tokenizer.vocabularySize && found.size < count; id++)
    if (/^\s?\p{L}+$/u.test(tokenizer.decode([id]))) found.add(id)
  if (found.size === count) return Int32Array.from(found)
  throw new UnsupportedError(
    `Router "classifier": the vocabulary has ${found.size} tokens that can represent experts, and there are ${count} experts. Use the router "embedding".`,
  )
}

/** The prompt's first and last tokens, and the question that a label answers. */
export function encodePrompt(tokenizer: Tokenizer, text: string, maxTokens: number): number[] {
  const most = maxTokens * 16
  const cut = text.length <= most ? text : `${text.slice(0, most / 2)} ${text.slice(-most / 2)}`
  const ids = tokenizer.encode(cut)
  const kept =
    ids.length <= maxTokens
      ? ids
      : [...ids.slice(0, Math.ceil(maxTokens / 2)), ...ids.slice(-Math.floor(maxTokens / 2))]
  const lead = tokenizer.bosId === undefined ? [] : [tokenizer.bosId]
  return [...lead, ...kept, ...tokenizer.encode(question)]
}
