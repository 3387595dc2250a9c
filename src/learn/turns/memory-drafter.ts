// Proposes the continuation of a learned answer: the tokens after the entry of the user's memory
// that is nearest to the state in which the last token was chosen. Useful if learned answers are
// repeated.

import type { Drafter } from '../../runtime/index.ts'
import type { ServedAnswer } from './tier-stage.ts'

export const createMemoryDrafter = ({ tiers, states }: ServedAnswer): Drafter => ({
  name: 'memory',
  propose(tokens, most) {
    const retrieval = states.at(-1)?.observation.retrieval
    if (!tiers.memory || !retrieval) return []
    return tiers.memory.listFollowing(retrieval, tokens.at(-1)!, most)
  },
})
