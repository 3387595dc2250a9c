// Proposes the tokens after an earlier occurrence of the last tokens, in the prompt or in the
// answer (prompt lookup decoding, Saxena 2023; transformers' prompt_lookup_num_tokens). Good where
// an answer repeats its prompt: copying, editing, quoting, tables.

import type { Drafter } from './drafter.ts'

/** Shorter matches predict little. */
const LEAST_MATCH = 2
/** Longer matches do not predict better. */
const MOST_MATCH = 12

/** The number of equal tokens before `at` and before the end of the list. */
function countMatch(tokens: readonly number[], at: number): number {
  const last = tokens.length - 1
  let count = 0
  while (count < MOST_MATCH && count <= at && tokens[at - count] === tokens[last - count]) count++
  return count
}

/** The place with the longest match, the latest of equals: its tokens are proposed. */
export function createPromptLookup(): Drafter {
  return {
    name: 'prompt-lookup',
    propose(tokens, most) {
      const last = tokens[tokens.length - 1]
      let best = -1
      let longest = LEAST_MATCH - 1
      for (let at = tokens.length - 2; at >= 0; at--) {
        if (tokens[at] !== last) continue
        const count = countMatch(tokens, at)
        if (count <= longest) continue
        best = at
        longest = count
        if (count === MOST_MATCH) break
      }
      if (best < 0) return []
      // A proposal may continue with its own tokens, as in a repetition of any length.
      const period = tokens.length - 1 - best
      return Array.from({ length: most }, (_, i) => tokens[best + 1 + (i % period)]!)
    },
  }
}
