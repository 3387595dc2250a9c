// A base model as users hold it: logits, loss, gradients, embeddings and text, with any adapter.
// Programs are compiled when first needed and kept; changing the adapter between two calls compiles
// nothing.

import {
  type Adapter,
  checkAdapter,
  type Expert,
  listParameterSpecs,
  simplifyExpert,
} from '../adapters/index.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { ChatOptions } from '../formats/text/chat-template.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { computeContextLimit } from '../graph/rope.ts'
import { createBaseWeights, type WeightChoice } from './programs/base-weights.ts'
import {
  createForward,
  type Forward,
  type TokenPositions,
  type StatesTap,
} from './programs/forward.ts'
import { type Gradients, createDifferentiator } from './gradients.ts'
import {
  generate,
  generateBatch,
  type GenerateEvent,
  type GenerateOptions,
  type GenerateParts,
  type Generation,
} from './engine/generate.ts'
import { createExactResults } from './analysis/exact-results.ts'
import {
  type AdapterChoice,
  type Grouping,
  runInGroups,
  selectExperts,
} from './programs/row-groups.ts'
import { createHead, type Head } from './head.ts'
import { createProgramCache } from './programs/program-cache.ts'
import { type Prompt, createPromptEncoder } from './prompt.ts'
import { listScoredPositions } from './analysis/scoring.ts'

export interface ModelOptions {
  readonly base: BaseModel
  readonly backend: Backend
  /** How weights are kept; what the file has, unless said. */
  readonly weights?: WeightChoice
  /** Milliseconds, for speeds only. */
  readonly now?: () => number
}

export interface PromptOptions extends GenerateOptions {
  /** For conversations: tools, date and further variables of the chat template. */
  readonly chat?: ChatOptions
}

export interface BatchOptions extends PromptOptions, AdapterChoice {}

export interface HiddenOptions extends AdapterChoice {
  /** Which tokens of each row to look at; all unless given. */
  readonly at?: TokenPositions
  /** Also given the states that enter a layer, of all tokens, by row. */
  readonly states?: StatesTap
  /** The path that generates ('fast', unless given) or the exact one. */
  readonly accuracy?: Accuracy
}

export interface Model {
  readonly base: BaseModel
  readonly config: ModelConfig
  /**
   * Exact f32 logits of every position, [N, T, V]. Shorter rows are padded on the right; what
   * stands behind their end means nothing.
   */
  logits(ids: readonly (readonly number[])[], options?: AdapterChoice): Promise<F32Tensor>
  /**
   * Mean cross-entropy of the labels ≠ −100, each predicted from the tokens before it. labels lie
   * as ids do; exact.
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
    options: { readonly adapter: Adapter },
  ): Promise<Gradients>
  /**
   * One vector for each text, [N, D]: the mean of the last hidden states (after the final norm),
   * scaled to length 1; exact.
   */
  embed(texts: readonly string[], options?: AdapterChoice): Promise<F32Tensor>
  /**
   * Token ids of a prompt: text with BOS where the tokenizer adds it, messages through the chat
   * template, ids as they are.
   */
  encode(prompt: Prompt, chat?: ChatOptions): number[]
  /**
   * Streams an answer: 'text-delta' events, then one 'generation-end' with text, ids, reason and
   * speeds.
   */
  generate(prompt: Prompt, options?: PromptOptions): AsyncGenerator<GenerateEvent, void>
  /** Answers several prompts together; row i draws with seed + i. */
  generateBatch(prompts: readonly Prompt[], options?: BatchOptions): Promise<Generation[]>
  /**
   * Makes what an expert needs for writing: its program where that is not compiled, and its serving
   * tensors; the first request then finds both. They are kept as long as the adapter or mixture is.
   * Throws MismatchError for an adapter that does not fit the model.
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
  /** The head by itself; compiled when it is first used. */
  head(accuracy?: Accuracy): Head
  /** Gives up programs and closes the base's weights; the model cannot be used afterwards. */
  dispose(): Promise<void>
}

/** Opens a model for use. Nothing is read or compiled before the first call that needs it. */
export function createModel(options: ModelOptions): Model {
  const { base, backend, now = () => performance.now() } = options
  const { config, tokenizer } = base
  const weights = createBaseWeights(base.graph, base.weights, options.weights)
  const programs = createProgramCache(base, backend, weights)
  const forwards: Record<Accuracy, Forward> = {
    fast: createForward({
      config,
      weights,
      program: (served, states) => programs.get(served, 'fast', states),
    }),
    exact: createForward({
      config,
      weights,
      program: (served, states) => programs.get(served, 'exact', states),
    }),
  }
  const heads = {
    fast: createHead({ model: base.graph, weights, backend, accuracy: 'fast' }),
    exact: createHead({ model: base.graph, weights, backend, accuracy: 'exact' }),
  }
  const differentiator = createDifferentiator({
    graph: base.graph,
    backend,
    weights: () => weights.floats(),
  })

  const eosIds = new Set([
    ...config.eosTokenIds,
    ...(tokenizer?.eosId === undefined ? [] : [tokenizer.eosId]),
  ])
  const parts = (precise = false): GenerateParts => ({
    forward: forwards[precise ? 'exact' : 'fast'],
    grouping: programs,
    tokenizer,
    eosIds,
    contextTokens: computeContextLimit(config),
    now,
  })
  const encode = createPromptEncoder(base)
  const exactly = createExactResults(config, forwards.exact, programs)

  return {
    base,
    config,
    encode,
    logits: exactly.logits,
    loss: exactly.loss,
    async gradients(ids, labels, { adapter }) {
      checkAdapter(adapter, base.graph)
      return differentiator.run(
        ids,
        listScoredPositions(ids, labels),
        adapter,
        listTrainableKeys(adapter, base.graph),
      )
    },
    embed: (texts, choice) =>
      exactly.pool(
        texts.map((text) => encode(text)),
        choice,
      ),
    generate: (prompt, given = {}) =>
      generate(encode(prompt, given.chat), given, parts(given.exact)),
    generateBatch: async (prompts, given = {}) =>
      generateBatch(
        prompts.map((prompt) => encode(prompt, given.chat)),
        given,
        parts(given.exact),
      ),
    async prepare(expert, accuracy = 'fast') {
      const served = simplifyExpert(expert)
      await (await programs.get(served, accuracy)).prepare(served)
    },
    async nextLogits(prompts, accuracy, choice = {}) {
      const forward = forwards[accuracy]
      const results = await runInGroups(prompts.length, choice, programs, (rows, experts) =>
        forward(
          rows.map((row) => prompts[row]!),
          forward.cache(rows.length),
          { served: selectExperts(rows, experts) },
        ),
      )
      return results.map(([logits]) => logits!)
    },
    hidden: createHiddenPass(forwards, programs),
    head: (accuracy = 'fast') => heads[accuracy],
    async dispose() {
      await Promise.all([
        programs.dispose(),
        differentiator.dispose(),
        heads.fast.dispose(),
        heads.exact.dispose(),
      ])
      await base.weights.close()
    },
  }
}

/** Final hidden states by either path. */
const createHiddenPass =
  (forwards: Readonly<Record<Accuracy, Forward>>, grouping: Grouping): Model['hidden'] =>
  async (ids, { at = 'all', accuracy = 'fast', states, ...choice } = {}) =>
    runInGroups(ids.length, choice, grouping, (rows, experts) => {
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

const listTrainableKeys = (adapter: Adapter, graph: ModelGraph): string[] =>
  [...listParameterSpecs(graph, adapter)].flatMap(([key, { trainable }]) =>
    trainable ? [key] : [],
  )
