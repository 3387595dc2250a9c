// One answer's drafts: the drafter, the number of its tokens to try, and how many were accepted.
// Independent of programs and rows.

import type { Accuracy } from '../../../compute/pack-linears.ts'
import { Acceptance } from './acceptance.ts'
import { estimateAheadCost } from './draft-costs.ts'
import type { Drafter } from './drafter.ts'

/** Tokens that are proposed at a time, at most: beyond, a call costs more than it can give. */
export const MOST_DRAFTED = 7

/** How much more a call must give than it costs. */
const LEAST_GAIN = 1.05

/** Tokens to try, and what they are expected to give. */
export interface Draft {
  readonly tokens: readonly number[]
  /** Tokens that the call is expected to give. */
  readonly expected: number
  /** In calls that write one token of one row. */
  readonly cost: number
  /** It is tried to learn whether the drafter pays again. */
  readonly isTrial: boolean
  readonly drafter: string
}

interface AskedDrafter {
  readonly drafter: Drafter
  readonly acceptance: Acceptance
}

export interface SpeculationCounts {
  readonly drafted: number
  readonly accepted: number
}

export class Speculation {
  readonly #asked: readonly AskedDrafter[]
  readonly #accuracy: Accuracy
  readonly #counts = { drafted: 0, accepted: 0 }

  constructor(drafters: readonly Drafter[], accuracy: Accuracy) {
    this.#asked = drafters.map((drafter) => ({ drafter, acceptance: new Acceptance() }))
    this.#accuracy = accuracy
  }

  get counts(): SpeculationCounts {
    return this.#counts
  }

  /**
   * The draft that promises most; undefined if none pays. `most`: tokens that there is room for.
   */
  propose(tokens: readonly number[], most: number): Draft | undefined {
    let best: Draft | undefined
    for (const { drafter, acceptance } of this.#asked) {
      if (most < 1 || acceptance.isPaused(tokens.length)) continue
      const proposed = drafter.propose(tokens, Math.min(most, MOST_DRAFTED))
      if (proposed.length === 0) continue
      const draft = this.#cut(proposed, drafter.name, acceptance)
      if (draft.expected < LEAST_GAIN * draft.cost && !draft.isTrial)
        acceptance.pause(tokens.length)
      else if (!best || draft.expected / draft.cost > best.expected / best.cost) best = draft
    }
    return best
  }

  /** As many of the tokens as promise the most for what they cost. */
  #cut(proposed: readonly number[], name: string, acceptance: Acceptance): Draft {
    const { isOnTrial: isTrial } = acceptance
    let best: Draft | undefined
    for (let count = 1; count <= proposed.length; count++) {
      const expected = acceptance.expectTokens(count)
      const cost = estimateAheadCost(count + 1, this.#accuracy)
      if (best && expected / cost <= best.expected / best.cost) continue
      const tokens = proposed.slice(0, count)
      best = { tokens, expected, cost, isTrial, drafter: name }
    }
    return best!
  }

  /** The first `accepted` tokens of the draft were right. */
  settle(draft: Draft, accepted: number): void {
    const { tokens, drafter: name } = draft
    this.#counts.drafted += tokens.length
    this.#counts.accepted += accepted
    const asked = this.#asked.find(({ drafter }) => drafter.name === name)
    asked!.acceptance.count(tokens.length, accepted)
  }
}
