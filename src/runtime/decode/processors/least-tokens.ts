// Before the least number of tokens, end-of-text tokens cannot be chosen: transformers'
// min_new_tokens.

import type { LogitsProcessor } from './processor.ts'

export const createLeastTokens = (
  least: number,
  eosIds: ReadonlySet<number>,
): LogitsProcessor | undefined =>
  least === 0
    ? undefined
    : {
        apply(logits, { tokens, promptTokens }) {
          if (tokens.length - promptTokens >= least) return
          for (const id of eosIds) logits[id] = -Infinity
        },
      }
