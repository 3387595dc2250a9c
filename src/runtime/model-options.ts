// The options of a model's methods: their types, and the tables that check them.

import type { Adapter } from '../adapters/index.ts'
import { type StatePooling, poolings } from '../adapters/serving/pooling.ts'
import { OptionError } from '../base/errors.ts'
import { createField, isRecord, oneOf, type OptionFields, unchecked } from '../base/schema.ts'
import type { Backend } from '../compute/backend.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { PackedFiles } from '../compute/packed-files.ts'
import type { ChatOptions } from '../formats/text/chat-template.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { generateFields, type GenerateOptions } from './engine/generate-options.ts'
import type { GrammarHost } from './grammar/grammar-host.ts'
import { type WeightChoice, weightChoices } from './programs/base-weights.ts'
import type { ModelMemory } from './programs/model-memory.ts'
import type { StatesTap, TokenPositions } from './programs/forward.ts'
import { type AdapterChoice, adapterChoiceFields } from './programs/row-groups.ts'

export interface ModelOptions {
  readonly base: BaseModel
  readonly backend: Backend
  /** How weights are kept. Default: as the file has them. */
  readonly weights?: WeightChoice | undefined
  /**
   * The date for chat templates that print it, where a prompt's own chat options have none. Without
   * it, an expert's prompts use the date of its training.
   */
  readonly date?: Date | undefined
  /** The date if neither `date` nor the expert's training has one. */
  readonly today?: Date | undefined
  /**
   * Computes which tokens a grammar allows: `createLocalHost` over the library that the platform
   * opens. loadModel of graftlm/node provides one. Without it the option grammar is refused.
   */
  readonly grammars?: GrammarHost | undefined
  /**
   * Files in which packed weights are kept for backends that read files; the model closes them.
   * loadModel of graftlm/node provides them. Default: packed weights are copied through memory,
   * once for each program.
   */
  readonly files?: PackedFiles | undefined
  /**
   * Called with the memory that serving needs, before the first program is compiled; throws if the
   * machine does not have it. loadModel of graftlm/node provides one. Default: no check.
   */
  readonly admit?: ((memory: ModelMemory) => void) | undefined
  /** Milliseconds, for speeds only. */
  readonly now?: (() => number) | undefined
}

export interface PromptOptions extends GenerateOptions {
  /** For conversations: tools, date and further variables of the chat template. */
  readonly chat?: ChatOptions | undefined
}

/** A fade takes one prompt at a time. */
export interface BatchOptions extends Omit<PromptOptions, 'adapter'>, AdapterChoice {}

export interface HiddenOptions extends AdapterChoice {
  /** Which tokens of each row to return. Default: all. */
  readonly at?: TokenPositions | undefined
  /** Also receives the states that enter a layer, of all tokens, by row. */
  readonly states?: StatesTap | undefined
  /** The path that generates ('fast', the default) or the exact one. */
  readonly accuracy?: Accuracy | undefined
}

export interface GradientsOptions {
  readonly adapter: Adapter
}

const accuracy = oneOf<Accuracy>(['fast', 'exact'])

const dateField = createField<Date>('a Date', {}, (value) => value instanceof Date)

export const modelFields = {
  base: unchecked<BaseModel>('a base model'),
  backend: unchecked<Backend>('a backend'),
  weights: oneOf<WeightChoice>(weightChoices),
  date: dateField,
  today: dateField,
  grammars: unchecked<GrammarHost>('a host of grammars'),
  files: unchecked<PackedFiles>('files of packed weights'),
  admit: unchecked<(memory: ModelMemory) => void>('a function that is given a need of memory'),
  now: unchecked<() => number>('a function that gives milliseconds'),
} satisfies OptionFields<ModelOptions>

export const promptFields = {
  ...generateFields,
  chat: createField<ChatOptions>('an object', {}, isRecord),
} satisfies OptionFields<PromptOptions>

export const batchFields = {
  ...promptFields,
  ...adapterChoiceFields,
} satisfies OptionFields<BatchOptions>

/** The expert, and how states are pooled into one vector. */
export interface EmbedOptions extends AdapterChoice {
  /** Default: the pooling of the expert's training, else the mean. */
  readonly pooling?: StatePooling | undefined
}

export const embedFields = {
  ...adapterChoiceFields,
  pooling: oneOf(poolings),
} satisfies OptionFields<EmbedOptions>

export const hiddenFields = {
  ...adapterChoiceFields,
  at: unchecked<TokenPositions>('"last", "all", "none" or a list of positions for each row'),
  states: generateFields.states,
  accuracy,
} satisfies OptionFields<HiddenOptions>

export const gradientsFields = {
  adapter: createField<Adapter>(
    'an adapter',
    {},
    (value) => isRecord(value) && 'kind' in value && 'tensors' in value,
  ),
} satisfies OptionFields<GradientsOptions>

/** Throws OptionError for a word that is neither path, also from plain JavaScript. */
export function checkAccuracy(wanted: Accuracy): void {
  const [problem] = accuracy.findProblems(wanted, 'accuracy')
  if (problem !== undefined) throw new OptionError(`${problem}.`)
}
