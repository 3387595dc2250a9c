// Divides positive and multiplies negative logits of earlier tokens. Keskar et al. 2019.

import type { LogitsProcessor } from './processor.ts'

/** The penalty on every token of prompt and answer, each once; undefined at the neutral value 1. */
export const createRepetitionPenalty = (penalty: number): LogitsProcessor | undefined =>
  penalty === 1
    ? undefined
    : {
        apply(logits, { tokens }) {
          for (const id of new Set(tokens)) {
            const logit = logits[id]
            if (logit !== undefined) logits[id] = logit > 0 ? logit / penalty : logit * penalty
          }
        },
      }
