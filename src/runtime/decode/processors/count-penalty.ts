// Lowers the logits of tokens by their count in the answer, as OpenAI's frequency_penalty and
// presence_penalty: logit −= count·frequency + (count > 0)·presence.

import type { LogitsProcessor } from './processor.ts'

export const createCountPenalty = (
  frequency: number,
  presence: number,
): LogitsProcessor | undefined =>
  frequency === 0 && presence === 0
    ? undefined
    : {
        apply(logits, { tokens, promptTokens }) {
          const seen = new Set<number>()
          for (let i = promptTokens; i < tokens.length; i++) {
            const id = tokens[i]!
            if (!(id in logits)) continue
            logits[id]! -= frequency + (seen.has(id) ? 0 : presence)
            seen.add(id)
          }
        },
      }
