// A base model as users hold it: logits, loss, gradients, embeddings and text, with any adapter. Programs are compiled when first needed
// and kept; changing the adapter between two calls compiles nothing.

import { type Adapter, attachSlots, checkAdapter, parametersOf, servingTensors } from '../adapters/index.ts'
import { NotFoundError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import { type ChatMessage, type ChatOptions, renderChat } from '../formats/chat-template.ts'
import type { Tokenizer } from '../formats/tokenizer.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelConfig } from '../graph/model-config.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { contextLimit } from '../graph/rope.ts'
import { baseWeights, type WeightChoice } from './base-weights.ts'
import { createForward, type Forward } from './forward.ts'
import { type Gradients, gradientsOf } from './gradients.ts'
import { generate, generateBatch, type GenerateEvent, type GenerateOptions, type GenerateParts, type Generation } from './generate.ts'
import { crossEntropy, pooled, scoredPositions } from './scoring.ts'
import { createServingProgram, type ServingProgram } from './serving-program.ts'

export interface ModelOptions {
  readonly base: BaseModel
  readonly backend: Backend
  /** How weights are kept; what the file has, unless said. */
  readonly weights?: WeightChoice
  /** Milliseconds, for speeds only. */
  readonly now?: () => number
}

/** Text to go on from, a conversation to answer, or token ids. */
export type Prompt = string | readonly ChatMessage[] | readonly number[]
export interface AdapterChoice {
  readonly adapter?: Adapter | undefined
}
export interface PromptOptions extends GenerateOptions {
  /** For conversations: tools, date and further variables of the chat template. */
  readonly chat?: ChatOptions
}

export interface Model {
  readonly base: BaseModel
  readonly config: ModelConfig
  /** Exact f32 logits of every position, [N, T, V]. Shorter rows are padded on the right; what stands behind their end means nothing. */
  logits(ids: readonly (readonly number[])[], options?: AdapterChoice): Promise<F32Tensor>
  /** Mean cross-entropy of the labels ≠ −100, each predicted from the tokens before it. labels lie as ids do; exact. */
  loss(ids: readonly (readonly number[])[], labels: readonly (readonly number[])[], options?: AdapterChoice): Promise<number>
  /** The same loss and its gradient with respect to every trainable tensor of the adapter, by PEFT key. Takes the weights in f32. */
  gradients(
    ids: readonly (readonly number[])[],
    labels: readonly (readonly number[])[],
    options: { readonly adapter: Adapter },
  ): Promise<Gradients>
  /** One vector for each text, [N, D]: the mean of the last hidden states (after the final norm), scaled to length 1; exact. */
  embed(texts: readonly string[], options?: AdapterChoice): Promise<F32Tensor>
  /** Token ids of a prompt: text with BOS where the tokenizer adds it, messages through the chat template, ids as they are. */
  encode(prompt: Prompt, chat?: ChatOptions): number[]
  /** Streams an answer: 'text-delta' events, then one 'generation-end' with text, ids, reason and speeds. */
  generate(prompt: Prompt, options?: PromptOptions): AsyncGenerator<GenerateEvent, void>
  /** Answers several prompts together; row i draws with seed + i. */
  generateBatch(prompts: readonly Prompt[], options?: PromptOptions): Promise<Generation[]>
  /** Logits [V] of the token after each prompt, by the fast path that generates or by the exact one. */
  nextLogits(prompts: readonly (readonly number[])[], accuracy: Accuracy, options?: AdapterChoice): Promise<Float32Array[]>
  /** Gives up programs and closes the base's weights; the model cannot be used afterwards. */
  dispose(): Promise<void>
}

/** Programs by accuracy and by what adapters need; each compiled once. */
function programCache(options: ModelOptions, weights: ReturnType<typeof baseWeights>) {
  const { base, backend } = options
  const programs = new Map<string, Promise<ServingProgram>>()
  const served = new WeakMap<Adapter, boolean>()
  const slotted = attachSlots(base.graph)
  const fitsSlots = (adapter: Adapter): boolean => {
    const known = served.get(adapter)
    if (known !== undefined) return known
    checkAdapter(adapter, base.graph)
    const fits = hasServingForm(adapter, slotted)
    served.set(adapter, fits)
    return fits
  }
  // Accuracy makes a difference for packed weights only: a model without any needs one program.
  const packed = [...base.weights.tensors.keys()].some((name) => weights.formOf(name))
  return {
    get(adapter: Adapter | undefined, wanted: Accuracy): Promise<ServingProgram> {
      const accuracy = packed ? wanted : 'exact'
      const attached = adapter && !fitsSlots(adapter) ? { kind: adapter.kind, config: adapter.config } : undefined
      const key = JSON.stringify([accuracy, attached])
      const program =
        programs.get(key) ?? createServingProgram({ model: base.graph, weights, backend, accuracy, ...(attached && { attached }) })
      programs.set(key, program)
      return program
    },
    async dispose() {
      const made = [...programs.values()]
      programs.clear()
      await Promise.all(made.map(async (program) => (await program).dispose()))
    },
  }
}

function hasServingForm(adapter: Adapter, slotted: ModelGraph): boolean {
  try {
    servingTensors(adapter, slotted)
    return true
  } catch (error) {
    if (error instanceof UnsupportedError) return false
    throw error
  }
}

/** Opens a model for use. Nothing is read or compiled before the first call that needs it. */
export function createModel(options: ModelOptions): Model {
  const { base, backend, now = () => performance.now() } = options
  const { config, tokenizer, chatTemplate } = base
  const weights = baseWeights(base.graph, base.weights, options.weights)
  const programs = programCache(options, weights)
  const forwards: Record<Accuracy, Forward> = {
    fast: createForward({ config, weights, program: (adapter) => programs.get(adapter, 'fast') }),
    exact: createForward({ config, weights, program: (adapter) => programs.get(adapter, 'exact') }),
  }
  const { exact } = forwards
  const differentiator = gradientsOf({ graph: base.graph, backend, weights: () => weights.floats() })

  const eosIds = new Set([...config.eosTokenIds, ...(tokenizer?.eosId === undefined ? [] : [tokenizer.eosId])])
  const parts = (precise = false): GenerateParts => ({
    forward: precise ? exact : forwards.fast,
    tokenizer,
    eosIds,
    contextTokens: contextLimit(config),
    now,
  })
  const encode = (prompt: Prompt, chat: ChatOptions = {}): number[] => {
    if (typeof prompt !== 'string' && prompt.every((item) => typeof item === 'number')) return [...prompt]
    if (!tokenizer) throw new NotFoundError(`Model "${base.name}" has no tokenizer (tokenizer.json): give it token ids instead of text.`)
    if (typeof prompt === 'string') return tokenizer.encode(prompt, { addSpecialTokens: true })
    return tokenizer.encode(
      renderChat(chatTemplate, prompt as readonly ChatMessage[], { ...specials(tokenizer), addGenerationPrompt: true, ...chat }),
    )
  }
  const each = (ids: readonly (readonly number[])[], { adapter }: AdapterChoice, want: 'logits' | 'hidden') =>
    exact(ids, exact.cache(ids.length), { adapter, want, at: 'all' })

  return {
    base,
    config,
    encode,
    async logits(ids, choice = {}) {
      const rows = await each(ids, choice, 'logits')
      const tokens = Math.max(...ids.map(({ length }) => length))
      const result = f32([ids.length, tokens, config.vocabularySize])
      rows.forEach((row, n) => row.forEach((values, t) => result.data.set(values, (n * tokens + t) * config.vocabularySize)))
      return result
    },
    async loss(ids, labels, choice = {}) {
      const scored = scoredPositions(ids, labels)
      const rows = await each(ids, choice, 'logits')
      return scored.reduce((sum, { row, position, label }) => sum + crossEntropy(rows[row]![position]!, label), 0) / scored.length
    },
    async gradients(ids, labels, { adapter }) {
      checkAdapter(adapter, base.graph)
      return differentiator.run(ids, scoredPositions(ids, labels), adapter, trainableKeys(adapter, base.graph))
    },
    async embed(texts, choice = {}) {
      const result = f32([texts.length, config.width])
      const rows = await each(texts.map((text) => encode(text)), choice, 'hidden') // prettier-ignore
      rows.forEach((row, n) => result.data.set(pooled(row, config.width), n * config.width))
      return result
    },
    generate: (prompt, given = {}) => generate(encode(prompt, given.chat), given, parts(given.exact)),
    generateBatch: async (prompts, given = {}) =>
      generateBatch(prompts.map((prompt) => encode(prompt, given.chat)), given, parts(given.exact)), // prettier-ignore
    async nextLogits(prompts, accuracy, { adapter } = {}) {
      const forward = forwards[accuracy]
      const rows = await forward(prompts, forward.cache(prompts.length), { adapter })
      return rows.map(([logits]) => logits!)
    },
    async dispose() {
      await Promise.all([programs.dispose(), differentiator.dispose()])
      await base.weights.close()
    },
  }
}

const trainableKeys = (adapter: Adapter, graph: ModelGraph): string[] =>
  [...parametersOf(graph, adapter)].flatMap(([key, { trainable }]) => (trainable ? [key] : []))

/** The texts of BOS and EOS, which many templates write. */
const specials = (tokenizer: Tokenizer): Pick<ChatOptions, 'bosToken' | 'eosToken'> => ({
  ...(tokenizer.bosId === undefined ? {} : { bosToken: tokenizer.decode([tokenizer.bosId]) }),
  ...(tokenizer.eosId === undefined ? {} : { eosToken: tokenizer.decode([tokenizer.eosId]) }),
})
