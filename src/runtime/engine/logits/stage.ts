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
   * final norm. taps [M, D]: states of the same tokens at the tapped layer. contexts: by row, the
   * context of its request, such as its user's tiers.
   */
  run(
    contexts: readonly Context[],
    hidden: F32Tensor,
    taps: F32Tensor | undefined,
  ): Promise<F32Tensor>
  /**
   * Called when the last `rows` rows of `run` with this context were rejected draft tokens. A stage
   * without this method gets one token at a time, without speculation.
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

/** A stage choice; the compiler checks that the context fits the stage. */
export const chooseStage = <Context>(
  stage: LogitsStage<Context>,
  context: Context,
  drafter?: Drafter,
): StageChoice => ({ stage, context, drafter }) as StageChoice
