// The options of sampling: their types, and the table that checks them.

import {
  createField,
  integer,
  isRecord,
  listOf,
  naturalNumber,
  number,
  type OptionFields,
} from '../../base/schema.ts'

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
  /**
   * Subtracted from a token's logit for each occurrence in the answer, as in OpenAI's API; 0: off.
   */
  readonly frequencyPenalty?: number | undefined
  /** Subtracted from a token's logit once the answer contains it; 0: off. */
  readonly presencePenalty?: number | undefined
  /** Added to the logits of tokens, by id. */
  readonly logitBias?: Readonly<Record<string, number>> | undefined
  /** Tokens that are never chosen. */
  readonly bannedTokens?: readonly number[] | undefined
}

const isBias = (value: unknown): boolean =>
  isRecord(value) &&
  Object.entries(value).every(
    ([id, bias]) => /^\d+$/.test(id) && typeof bias === 'number' && !Number.isNaN(bias),
  )

export const samplingFields = {
  temperature: number({ from: 0, default: 0 }),
  topK: integer({ from: 0, default: 0 }),
  topP: number({ above: 0, to: 1, default: 1 }),
  minP: number({ from: 0, to: 1, default: 0 }),
  repetitionPenalty: number({ above: 0, default: 1 }),
  frequencyPenalty: number({ default: 0 }),
  presencePenalty: number({ default: 0 }),
  logitBias: createField<Readonly<Record<string, number>>, { default: Record<string, number> }>(
    'an object of token ids and numbers',
    {},
    isBias,
    { default: {} },
  ),
  bannedTokens: listOf(naturalNumber, { default: [] }),
} satisfies OptionFields<SamplingOptions>
