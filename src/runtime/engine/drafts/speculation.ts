// One answer's drafts: the drafter, the number of its tokens to try, and how many were accepted.
// Independent of programs and rows.

import type { Accuracy } from '../../../compute/pack-linears.ts'
import { Acceptance } from './acceptance.ts'
import { estimateAheadCost } from './draft-costs.ts'
import type { Drafter } from './drafter.ts'

/** Most tokens that are proposed at a time: a longer draft costs more than it can yield. */
export const MOST_DRAFTED = 7

/** The ratio of expected tokens to cost that a draft must reach. */
const LEAST_GAIN = 1.05

/** Drafted tokens and their expected yield. */
export interface Draft {
  readonly tokens: readonly number[]
  /** Expected tokens of the call. */
  readonly expected: number
  /** In calls that write one token of one row. */
  readonly cost: number
  /** Whether the draft is a trial, made to measure whether the drafter pays off again. */
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
   * The draft with the largest expected gain; undefined if none pays off. `most`: how many tokens
   * there is room for.
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

  /** Cuts a proposal to the length with the best ratio of expected tokens to cost. */
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

  /** Records that the first `accepted` tokens of the draft were accepted. */
  settle(draft: Draft, accepted: number): void {
    const { tokens, drafter: name } = draft
    this.#counts.drafted += tokens.length
    this.#counts.accepted += accepted
    const asked = this.#asked.find(({ drafter }) => drafter.name === name)
    asked!.acceptance.count(tokens.length, accepted)
  }
}
