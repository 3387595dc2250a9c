// The options of generation: their types, and the table that checks them.

import type { Expert } from '../../adapters/index.ts'
import {
  createField,
  flag,
  integer,
  listOf,
  naturalNumber,
  type OptionFields,
  positiveInteger,
  string,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import { samplingFields, type SamplingOptions } from '../decode/sampling-options.ts'
import type { StatesTap } from '../programs/forward.ts'
import { adapterChoiceFields } from '../programs/row-groups.ts'

export interface GenerateOptions extends SamplingOptions {
  readonly adapter?: Expert | undefined
  /** New tokens at most; never more than fit into the context. Default 256. */
  readonly maxTokens?: number | undefined
  /** Same seed, same text. Default 0. */
  readonly seed?: number | undefined
  /** The text ends before any of these strings. */
  readonly stop?: readonly string[] | undefined
  /**
   * No end-of-text token is chosen before this many tokens, as transformers' min_new_tokens.
   * Default 0.
   */
  readonly minTokens?: number | undefined
  /**
   * Exact products instead of int8 activations: slower, and within 2e-3 of the reference. Float
   * models are exact anyhow.
   */
  readonly exact?: boolean | undefined
  /**
   * Computes logits [V] from each last hidden state [D] in place of the model's own head. One
   * prompt only.
   */
  readonly head?: ((hidden: Float32Array) => Promise<Float32Array>) | undefined
  /**
   * Receives the states that enter a layer: those of the prompt, then those of each token that is
   * read again; row 0. One prompt only.
   */
  readonly states?: StatesTap | undefined
  readonly signal?: AbortSignal | undefined
}

const isFunction = (value: unknown): boolean => typeof value === 'function'

export const generateFields = {
  ...samplingFields,
  adapter: adapterChoiceFields.adapter,
  maxTokens: withInfo(positiveInteger, { default: 256 }),
  seed: integer({ default: 0 }),
  stop: listOf(string({ filled: true }), { default: [] }),
  minTokens: withInfo(naturalNumber, { default: 0 }),
  exact: flag({ default: false }),
  head: createField<NonNullable<GenerateOptions['head']>>('a function', {}, isFunction),
  states: unchecked<StatesTap>('a layer and a function that takes its states'),
  signal: unchecked<AbortSignal>('an AbortSignal'),
} satisfies OptionFields<GenerateOptions>
