// The options of sampling: their types, and the table that checks them.

import { integer, number, type OptionFields } from '../../base/schema.ts'

export interface SamplingOptions {
  /** 0 (the default) is greedy: the most likely token, the lowest id on a tie. */
  readonly temperature?: number | undefined
  /** Only the k most likely tokens; 0: all. */
  readonly topK?: number | undefined
  /** The smallest set of most likely tokens that together reach p; 1: all. */
  readonly topP?: number | undefined
  /** Only tokens at least this fraction as likely as the most likely one; 0: all. */
  readonly minP?: number | undefined
  /**
   * Logits of tokens seen in prompt or answer are divided by this when positive, multiplied when
   * negative; 1: off. Keskar et al. 2019.
   */
  readonly repetitionPenalty?: number | undefined
}

export const samplingFields = {
  temperature: number({ from: 0, default: 0 }),
  topK: integer({ from: 0, default: 0 }),
  topP: number({ above: 0, to: 1, default: 1 }),
  minP: number({ from: 0, to: 1, default: 0 }),
  repetitionPenalty: number({ above: 0, default: 1 }),
} satisfies OptionFields<SamplingOptions>
