// The contract between the layers and the choice of tokens: from hidden states to logits, for all
// rows of a batch that share a stage. The model's head is one stage, built into the programs; a
// learner's tiers are another.

import type { F32Tensor } from '../../../base/tensor.ts'
import type { Drafter } from '../drafts/drafter.ts'

export interface LogitsStage<Context> {
  /** A layer, from 0: `run` also gets the states that enter it. */
  readonly tapLayer?: number | undefined
  /**
   * Logits [M, V] of the next tokens. hidden [M, D]: states of the rows' last tokens, after the
   * final norm. taps [M, D]: states of the same tokens at the tapped layer. contexts: by row, what
   * each request gave, such as its user's tiers.
   */
  run(
    contexts: readonly Context[],
    hidden: F32Tensor,
    taps: F32Tensor | undefined,
  ): Promise<F32Tensor>
  /**
   * The last `rows` rows of `run` with this context were tokens that did not come about. A stage
   * without this is given one token at a time: its answers do not look ahead.
   */
  dropRows?(context: Context, rows: number): void
}

/** A stage, and what it needs to know of one request. */
export interface StageChoice<Context = unknown> {
  readonly stage: LogitsStage<Context>
  readonly context: Context
  /** Proposes tokens of this answer, where the request speculates. */
  readonly drafter?: Drafter | undefined
}

/** A choice whose context is known to fit its stage. */
export const chooseStage = <Context>(
  stage: LogitsStage<Context>,
  context: Context,
  drafter?: Drafter,
): StageChoice => ({ stage, context, drafter }) as StageChoice
