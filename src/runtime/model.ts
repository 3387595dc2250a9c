// A base model as users see it: logits, loss, gradients, embeddings and text, with any adapter.
// Programs are compiled when first needed and kept; changing the adapter between two calls compiles
// nothing.

import { type Adapter, checkAdapter, type Expert } from '../adapters/index.ts'
import { listParameterSpecs } from '../adapters/adapter.ts'
import { checkBaseCopies } from '../adapters/base-copy.ts'
import { collectFadeAdapters } from '../adapters/serving/fade.ts'
import { simplifyExpert } from '../adapters/serving/mixture.ts'
import { assertInternal, OptionError } from '../base/errors.ts'
import { checkOptions, readGivenOptions } from '../base/schema.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { ChatOptions } from '../formats/text/chat-template.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { Generation } from './engine/answer.ts'
import { generateBatch } from './engine/generate.ts'
import type { GenerateEvent } from './engine/request.ts'
import type { Gradients } from './gradients.ts'
import type { Head } from './head.ts'
import {
  type BatchOptions,
  batchFields,
  checkAccuracy,
  embedFields,
  type EmbedOptions,
  gradientsFields,
  type GradientsOptions,
  hiddenFields,
  type HiddenOptions,
  modelFields,
  type ModelOptions,
  promptFields,
  type PromptOptions,
} from './model-options.ts'
import {
  closeModelParts,
  createModelParts,
  keepModelParts,
  type ModelParts,
} from './model-parts.ts'
import type { TokenPositions } from './programs/forward.ts'
import {
  type AdapterChoice,
  adapterChoiceFields,
  resolveExperts,
  runInGroups,
  selectExperts,
} from './programs/row-groups.ts'
import { findPooling } from '../adapters/serving/pooling.ts'
import { generateObject, type ObjectAnswer, type ObjectOptions } from './object/generate-object.ts'
import type { ValueOfSchema, ValueSchema } from './object/value-schema.ts'
import type { Prompt } from './prompt.ts'
import { listScoredLabels } from './scoring.ts'

export interface Model {
  readonly base: BaseModel
  readonly config: ModelConfig
  /**
   * Exact f32 logits of every position, [N, T, V]. Shorter rows are right-padded; values at padded
   * positions are undefined.
   */
  logits(ids: readonly (readonly number[])[], options?: AdapterChoice): Promise<F32Tensor>
  /**
   * Mean cross-entropy of the labels ≠ −100, each predicted from the tokens before it. labels have
   * the shape of ids; exact.
   */
  loss(
    ids: readonly (readonly number[])[],
    labels: readonly (readonly number[])[],
    options?: AdapterChoice,
  ): Promise<number>
  /**
   * The same loss and its gradient with respect to every trainable tensor of the adapter, by PEFT
   * key. Takes the weights in f32.
   */
  gradients(
    ids: readonly (readonly number[])[],
    labels: readonly (readonly number[])[],
    options: GradientsOptions,
  ): Promise<Gradients>
  /**
   * One vector for each text or list of token ids, [N, D]: the last hidden states (after the final
   * norm), pooled as in the expert's training, else their mean, and scaled to length 1; exact.
   */
  embed(texts: readonly (string | readonly number[])[], options?: EmbedOptions): Promise<F32Tensor>
  /**
   * Token ids of a prompt: text with BOS where the tokenizer adds it, messages through the chat
   * template, ids as they are. An expert's own tokenizer and template replace the base's.
   */
  encode(prompt: Prompt, chat?: ChatOptions, expert?: Expert): number[]
  /**
   * Streams an answer: 'text-delta' events, then one 'generation-end' with text, ids, reason and
   * speeds.
   */
  generate(prompt: Prompt, options?: PromptOptions): AsyncGenerator<GenerateEvent, void>
  /**
   * The text of one answer: `await model.complete('Lily:', { adapter, maxTokens: 12 })`. Takes the
   * options of `generate`.
   */
  complete(prompt: Prompt, options?: PromptOptions): Promise<string>
  /**
   * One answer as a value that fits a schema: `const { value } = await model.object('…', { schema
   * })` with a schema of zod, Valibot, ArkType … or a JSON Schema. Takes the options of `generate`
   * in addition. Throws ObjectError for an answer that was cut off or that the schema's own check
   * rejects.
   */
  object<const Schema extends ValueSchema>(
    prompt: Prompt,
    options: Omit<PromptOptions, 'grammar'> & ObjectOptions<Schema>,
  ): Promise<ObjectAnswer<ValueOfSchema<Schema>>>
  /** Answers several prompts together; row i draws with seed + i. */
  generateBatch(prompts: readonly Prompt[], options?: BatchOptions): Promise<Generation[]>
  /**
   * Prepares an expert for generation, so that its first request does not wait: compiles its
   * program where needed and computes its serving tensors. Both are kept as long as the adapter or
   * mixture is. Throws MismatchError for an adapter that does not fit the model.
   */
  prepare(expert: Expert | undefined, accuracy?: Accuracy): Promise<void>
  /**
   * Logits [V] of the token after each prompt, by the fast path that generates or by the exact one.
   */
  nextLogits(
    prompts: readonly (readonly number[])[],
    accuracy: Accuracy,
    options?: AdapterChoice,
  ): Promise<Float32Array[]>
  /**
   * Final hidden states [D] (after the last norm, as the head reads them) of the chosen tokens, by
   * row; the head is not computed for them.
   */
  hidden(ids: readonly (readonly number[])[], options?: HiddenOptions): Promise<Float32Array[][]>
  /** The head alone; compiled when it is first used. */
  head(accuracy?: Accuracy): Head
  /** Releases programs and closes the base's weights; the model cannot be used afterwards. */
  dispose(): Promise<void>
}

/**
 * Opens a model for use. Nothing is read or compiled before the first call that needs it. Throws
 * OptionError for unknown options.
 */
export function createModel(options: ModelOptions): Model {
  checkOptions('Model options', options, modelFields)
  const parts = createModelParts(options)
  const { base, encode } = parts
  const model: Model = {
    base,
    config: base.config,
    encode,
    ...createExactMethods(parts),
    ...createTextMethods(parts),
    prepare: async (expert, accuracy = 'fast') => {
      checkAccuracy(accuracy)
      await parts.engine().prepare(simplifyExpert(expert), accuracy)
    },
    nextLogits: createNextLogits(parts),
    hidden: createHiddenPass(parts),
    head: (accuracy = 'fast') => {
      checkAccuracy(accuracy)
      return parts.heads[accuracy]
    },
    dispose: () => closeModelParts(parts),
  }
  return keepModelParts(model, parts)
}

/** Results over whole sequences, in f32. */
function createExactMethods({
  base,
  encode,
  exactResults,
  differentiator,
}: ModelParts): Pick<Model, 'logits' | 'loss' | 'embed' | 'gradients'> {
  const { graph } = base
  return {
    async logits(ids, choice = {}) {
      checkOptions('Options of logits', choice, adapterChoiceFields)
      return exactResults.logits(ids, choice)
    },
    async loss(ids, labels, choice = {}) {
      checkOptions('Options of loss', choice, adapterChoiceFields)
      return exactResults.loss(ids, labels, choice)
    },
    async embed(texts, choice = {}) {
      checkOptions('Options of embed', choice, embedFields)
      const { pooling, ...chosen } = choice
      const experts = resolveExperts(texts.length, chosen)
      const ids = texts.map((text, i) => encode(text, {}, experts[i]))
      const poolings = experts.map((expert) => pooling ?? findPooling(expert) ?? 'mean')
      return exactResults.pool(ids, poolings, chosen)
    },
    async gradients(ids, labels, options) {
      checkOptions('Options of gradients', options, gradientsFields)
      const { adapter } = options
      if (!adapter) throw new OptionError('Options of gradients: adapter is missing.')
      checkAdapter(adapter, graph)
      await checkBaseCopies(adapter, graph, (name) => base.weights.read(name))
      const scored = listScoredLabels(ids, labels)
      return differentiator.run(ids, scored, adapter, listTrainableKeys(adapter, graph))
    },
  }
}

const listTrainableKeys = (adapter: Adapter, graph: ModelGraph): string[] =>
  [...listParameterSpecs(graph, adapter)].flatMap(([key, { trainable }]) =>
    trainable ? [key] : [],
  )

/** Generation, by the model's engine. */
function createTextMethods({
  encode,
  engine,
}: ModelParts): Pick<Model, 'generate' | 'complete' | 'object' | 'generateBatch'> {
  async function* generateText(
    prompt: Prompt,
    given: PromptOptions = {},
  ): AsyncGenerator<GenerateEvent, void> {
    const { chat, ...options } = readGivenOptions('Generation options', given, promptFields)
    const experts = collectFadeAdapters(options.adapter)
    yield* engine().generate({ ...options, prompt: encode(prompt, chat, experts) })
  }
  return {
    generate: generateText,
    async complete(prompt, options) {
      let text: string | undefined
      for await (const event of generateText(prompt, options))
        if (event.type === 'generation-end') text = event.text
      assertInternal(text !== undefined, 'generation ends with generation-end')
      return text
    },
    async object(prompt, { schema, jsonSchema, whitespace, retries, ...given }) {
      const { chat, ...options } = readGivenOptions('Generation options', given, promptFields)
      const ids = encode(prompt, chat, collectFadeAdapters(options.adapter))
      const asked = { schema, jsonSchema, whitespace, retries }
      return generateObject(engine(), { ...options, ...asked, prompt: ids })
    },
    async generateBatch(prompts, given = {}) {
      const { chat, ...options } = readGivenOptions('Generation options', given, batchFields)
      const experts = resolveExperts(prompts.length, options)
      const ids = prompts.map((prompt, i) => encode(prompt, chat, experts[i]))
      return generateBatch(engine(), ids, options)
    },
  }
}

/** Logits [V] after each prompt, by either path. */
const createNextLogits =
  ({ forwards, programs }: ModelParts): Model['nextLogits'] =>
  async (prompts, accuracy, choice = {}) => {
    checkOptions('Options of nextLogits', choice, adapterChoiceFields)
    checkAccuracy(accuracy)
    const forward = forwards[accuracy]
    const results = await runInGroups(prompts.length, choice, programs, (rows, experts) =>
      forward(
        rows.map((row) => prompts[row]!),
        forward.cache(rows.length),
        { served: selectExperts(rows, experts) },
      ),
    )
    return results.map(([logits]) => logits!)
  }

/** Final hidden states, by either path. */
const createHiddenPass =
  ({ forwards, programs }: ModelParts): Model['hidden'] =>
  async (ids, options = {}) => {
    checkOptions('Options of hidden', options, hiddenFields)
    const { at = 'all', accuracy = 'fast', states } = options
    return runInGroups(ids.length, options, programs, (rows, experts) => {
      const forward = forwards[accuracy]
      const own: TokenPositions = typeof at === 'string' ? at : rows.map((row) => at[row]!)
      const tap = states && {
        layer: states.layer,
        take: (row: number, given: Float32Array) => states.take(rows[row]!, given),
      }
      return forward(
        rows.map((row) => ids[row]!),
        forward.cache(rows.length),
        { served: selectExperts(rows, experts), want: 'hidden', at: own, states: tap },
      )
    })
  }
