// The options of generation: their types, and the table that checks them.

import type { AnswerExpert } from '../../adapters/serving/fade.ts'
import {
  createField,
  flag,
  integer,
  isRecord,
  listOf,
  naturalNumber,
  type OptionFields,
  string,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import { type GrammarChoice, grammarField } from '../../formats/grammar/grammar-choice.ts'
import { samplingFields, type SamplingOptions } from '../decode/sampling-options.ts'
import type { StatesTap } from '../programs/forward.ts'
import { adapterChoiceFields } from '../programs/row-groups.ts'
import { type GivenExpert, isExpertSpec } from './compose/resolve-expert.ts'
import type { StageChoice } from './logits/stage.ts'

export interface GenerateOptions extends SamplingOptions {
  /** The expert that answers: an adapter, a mixture, or a fade during the answer. */
  readonly adapter?: AnswerExpert | undefined
  /**
   * New tokens at most; never more than fit into the context. 0: the prompt is only computed, and
   * scored if promptLogprobs is set. Default 256.
   */
  readonly maxTokens?: number | undefined
  /** Same seed, same text. Default 0. */
  readonly seed?: number | undefined
  /** The text ends before any of these strings. */
  readonly stop?: readonly string[] | undefined
  /**
   * Special tokens that stay in the text, while others are left out: the markers of a format of
   * tool calls, such as `<|python_tag|>`. Tokens that the tokenizer does not have are ignored.
   */
  readonly keepTokens?: readonly string[] | undefined
  /**
   * The constraint on the whole answer: JSON, a JSON Schema, a pattern, EBNF or a structural
   * grammar. The answer ends with reason 'eos' when the grammar is complete. If the limit of tokens
   * or a stop string cuts it off, it is a prefix of a text that fits.
   */
  readonly grammar?: GrammarChoice | undefined
  /**
   * No end-of-text token is chosen before this many tokens, as transformers' min_new_tokens.
   * Default 0.
   */
  readonly minTokens?: number | undefined
  /**
   * Exact products instead of int8 activations: slower, and within 2e-3 of the reference. Models in
   * f32 are always exact.
   */
  readonly exact?: boolean | undefined
  /**
   * Reuses cached keys and values of an earlier request with the same prefix, expert and tenant,
   * and adds its own to the cache. Does not change results. Default true.
   */
  readonly cache?: boolean | undefined
  /**
   * Speculative decoding: drafts likely tokens from the prompt, the answer and a learner's memory,
   * verifies several in one call, and keeps those that the model would have chosen. Used while at
   * most two sequences run, and as long as it pays off. Logits differ in the last bits from those
   * of one token at a time, `exact` ones by 1e-4 at most. Default: the engine's option.
   */
  readonly speculate?: boolean | undefined
  /** Requests of one tenant never read cache entries of another. Default ''. */
  readonly tenant?: string | undefined
  /** Computes logits from hidden states in place of the model's own head. */
  readonly stage?: StageChoice | undefined
  /**
   * Receives the states that enter a layer: those of the prompt, then those of each new token; row
   * 0. The request then reads nothing from the cache.
   */
  readonly states?: StatesTap | undefined
  /**
   * Returns the log-probability of every new token, and of this many most likely tokens at its
   * position (0 to 20). They are computed from the raw logits of the model or the stage, before
   * penalties, bias, bans and temperature, as with vLLM's default `raw_logprobs`. The end-of-text
   * token is not among them.
   */
  readonly logprobs?: number | undefined
  /**
   * The same for the tokens of the prompt, of which the first has none. The request then reads
   * nothing from the cache. With `exact` the mean of their negatives is model.loss. Not together
   * with a stage.
   */
  readonly promptLogprobs?: number | undefined
  /**
   * Whether the answer continues the prompt's text: then it keeps a leading space, which some
   * tokenizers drop at the beginning of a text. Default false: the answer is a separate text.
   */
  readonly continuesText?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** OpenAI's limit of top_logprobs. */
const MOST_ALTERNATIVES = 20

const isAnswerExpert = (value: unknown): boolean =>
  adapterChoiceFields.adapter.is(value) || (isRecord(value) && 'fade' in value)

const isExpertChoice = (value: unknown): boolean =>
  typeof value === 'string' || isExpertSpec(value) || isAnswerExpert(value)

const isStageChoice = (value: unknown): boolean =>
  isRecord(value) && isRecord(value['stage']) && typeof value['stage']['run'] === 'function'

export const generateFields = {
  ...samplingFields,
  adapter: createField<AnswerExpert>('an adapter, a mixture or a fade', {}, isAnswerExpert),
  maxTokens: withInfo(naturalNumber, { default: 256 }),
  seed: integer({ default: 0 }),
  stop: listOf(string({ filled: true }), { default: [] }),
  keepTokens: listOf(string({ filled: true }), { default: [] }),
  grammar: grammarField,
  minTokens: withInfo(naturalNumber, { default: 0 }),
  exact: flag({ default: false }),
  cache: flag({ default: true }),
  speculate: flag(),
  tenant: string({ default: '' }),
  stage: createField<StageChoice>('a stage and its context', {}, isStageChoice),
  states: unchecked<StatesTap>('a layer and a function that takes its states'),
  logprobs: integer({ from: 0, to: MOST_ALTERNATIVES }),
  promptLogprobs: integer({ from: 0, to: MOST_ALTERNATIVES }),
  continuesText: flag({ default: false }),
  signal: unchecked<AbortSignal>('an AbortSignal'),
} satisfies OptionFields<GenerateOptions>

/** The same with ids, and an expert that may be a name. */
export const requestFields = {
  ...generateFields,
  prompt: unchecked<readonly number[]>('token ids'),
  adapter: createField<GivenExpert>(
    'an adapter, a mixture, a fade, or names of experts',
    {},
    isExpertChoice,
  ),
  index: withInfo(naturalNumber, { default: 0 }),
}
