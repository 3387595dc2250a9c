// Masks the tokens that a grammar does not allow next: one pass over the logits, 32 to a step.

import { GrammarError } from '../../../base/errors.ts'
import type { LogitsProcessor } from './processor.ts'

/**
 * Returns one bit for each id, set if it may come next, followed by one bit for whether the text
 * may end; undefined if no grammar constrains the answer.
 */
export type AllowedTokens = () => Int32Array | undefined

export const hasBit = (mask: Int32Array, at: number): boolean =>
  ((mask[at >> 5]! >>> (at & 31)) & 1) === 1

/**
 * Throws GrammarError if no token is left because bias, bans or minTokens exclude all that the
 * grammar allows.
 */
export const createGrammarMask = (
  allowed: AllowedTokens | undefined,
  eosIds: ReadonlySet<number>,
): LogitsProcessor | undefined =>
  allowed && {
    apply(logits) {
      const mask = allowed()
      if (!mask) return
      const ends = hasBit(mask, logits.length)
        ? [...eosIds].map((id) => [id, logits[id]!] as const)
        : []
      const isLeft = excludeTokens(logits, mask)
      for (const [id, logit] of ends) if (id in logits) logits[id] = logit
      if (!isLeft && !ends.some(([, logit]) => logit > -Infinity))
        throw new GrammarError(
          'The grammar',
          'the next token',
          'none is left: logitBias, bannedTokens or minTokens rule out all that it allows',
        )
    },
  }

/** Excludes the tokens whose bit is not set; returns whether any token is left. */
function excludeTokens(logits: Float32Array, mask: Int32Array): boolean {
  let isLeft = false
  for (let start = 0; start < logits.length; start += 32) {
    const bits = mask[start >> 5]!
    const end = Math.min(start + 32, logits.length)
    if (bits === 0) {
      logits.fill(-Infinity, start, end)
      continue
    }
    if (bits === -1 && isLeft) continue
    for (let id = start; id < end; id++)
      if (((bits >>> (id - start)) & 1) === 0) logits[id] = -Infinity
      else if (!isLeft) isLeft = logits[id]! > -Infinity
  }
  return isLeft
}

/** Whether the text may only end. */
export function isOnlyEnd(mask: Int32Array, vocabularySize: number): boolean {
  const last = vocabularySize >> 5
  for (let word = 0; word < mask.length; word++)
    if (mask[word] !== (word === last ? 1 << (vocabularySize & 31) : 0)) return false
  return true
}
