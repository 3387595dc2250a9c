// The loop that writes: prompt in, one token after the other out, as text that may be shown at
// once. Knows no weights and no graph.

import { type Expert, simplifyExpert } from '../../adapters/index.ts'
import { ContextLengthError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { type TextStream, createTextStream } from '../../formats/text/text-stream.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { findActivationStarts } from '../programs/activation.ts'
import {
  type AdapterChoice,
  type Grouping,
  runInGroups,
  selectExperts,
} from '../programs/row-groups.ts'
import type { Forward, StatesTap } from '../programs/forward.ts'
import { createSampler, type Sampler, type SamplingOptions } from '../decode/sampler.ts'
import { createStopMatcher } from '../decode/stop.ts'

export interface GenerateOptions extends SamplingOptions {
  readonly adapter?: Expert | undefined
  /** New tokens at most; never more than fit into the context. Default 256. */
  readonly maxTokens?: number
  /** Same seed, same text. Default 0. */
  readonly seed?: number
  /** Text at which to end; it is not given out itself. */
  readonly stop?: readonly string[]
  /**
   * No end-of-text token is chosen before this many tokens, as transformers' min_new_tokens.
   * Default 0.
   */
  readonly minTokens?: number
  /**
   * Exact products instead of int8 activations: slower, and within 2e-3 of the reference. Float
   * models are exact anyhow.
   */
  readonly exact?: boolean
  /**
   * Turns each last hidden state [D] into logits [V] in place of the model's own head: for whoever
   * changes what the model says. One answer only.
   */
  readonly head?: (hidden: Float32Array) => Promise<Float32Array>
  /**
   * Given the states that enter a layer, of the prompt and then of each token that is read again;
   * row 0. One answer only.
   */
  readonly states?: StatesTap
  readonly signal?: AbortSignal
}

/** Why the answer ended: an end-of-text token, a stop string, or the limit of tokens. */
export type EndReason = 'eos' | 'stop' | 'length'

export interface Generation {
  readonly text: string
  /** New tokens, without the end-of-text token. */
  readonly ids: readonly number[]
  readonly reason: EndReason
  readonly promptTokens: number
  /** Reading the prompt, up to the first token. */
  readonly promptMs: number
  /** Writing all tokens after the first. */
  readonly decodeMs: number
  /** (new tokens − 1) / decodeMs; 0 where there is nothing to measure. */
  readonly tokensPerSecond: number
}

export type GenerateEvent =
  | { readonly type: 'text-delta'; readonly text: string }
  | ({ readonly type: 'generation-end' } & Generation)

export interface GenerateParts {
  readonly forward: Forward
  readonly grouping: Grouping
  /** Without one only ids come out, no text. */
  readonly tokenizer: Tokenizer | undefined
  readonly eosIds: ReadonlySet<number>
  readonly contextTokens: number
  /** Milliseconds. */
  readonly now: () => number
}

/** One answer in the making. */
class Answer {
  readonly ids: number[] = []
  text = ''
  reason: EndReason | undefined
  readonly #prompt: readonly number[]
  readonly #sampler: Sampler
  readonly #stream: TextStream
  readonly #matcher: ReturnType<typeof createStopMatcher>
  readonly #limit: number
  readonly #minTokens: number
  readonly #eosIds: ReadonlySet<number>

  constructor(
    prompt: readonly number[],
    options: GenerateOptions,
    { tokenizer, eosIds, contextTokens }: GenerateParts,
    index: number,
  ) {
    const { maxTokens = 256, seed = 0, stop = [], minTokens = 0 } = options
    if (!(Number.isInteger(maxTokens) && maxTokens > 0))
      throw new OptionError(`maxTokens is ${maxTokens}, expected a whole number above 0.`)
    if (prompt.length === 0)
      throw new OptionError('The prompt is empty: a model needs at least one token to go on from.')
    if (prompt.length >= contextTokens) {
      throw new ContextLengthError(
        `The prompt has ${prompt.length} tokens; the model's context holds ${contextTokens}, with the answer. Shorten the prompt.`,
      )
    }
    this.#prompt = prompt
    this.#sampler = createSampler(options, random(seed + index))
    this.#stream = tokenizer
      ? createTextStream(tokenizer, { skipSpecialTokens: true })
      : { push: () => '', end: () => '' }
    this.#matcher = createStopMatcher(stop)
    this.#limit = Math.min(maxTokens, contextTokens - prompt.length)
    this.#minTokens = minTokens
    this.#eosIds = eosIds
  }

  /** Chooses the next token; returns the text that is final now. */
  sampleNext(logits: Float32Array): string {
    const id = this.#sampler(this.#allowed(logits), [...this.#prompt, ...this.ids])
    if (this.#eosIds.has(id)) return this.#end('eos', this.#stream.end())
    this.ids.push(id)
    const text = this.#matcher.push(this.#stream.push(id))
    if (this.#matcher.found !== undefined) return this.#end('stop', '', text)
    if (this.ids.length === this.#limit) return this.#end('length', this.#stream.end(), text)
    return this.#appendText(text)
  }

  #allowed(logits: Float32Array): Float32Array {
    if (this.ids.length >= this.#minTokens) return logits
    const allowed = logits.slice()
    for (const id of this.#eosIds) allowed[id] = -Infinity
    return allowed
  }
  #appendText(text: string): string {
    this.text += text
    return text
  }
  #end(reason: EndReason, rest: string, before = ''): string {
    const more = this.#matcher.push(rest)
    this.reason = this.#matcher.found === undefined ? reason : 'stop'
    return this.#appendText(before + more + this.#matcher.end())
  }

  toGeneration(promptMs: number, decodeMs: number): Generation {
    const { text, ids, reason = 'length' } = this
    const tokensPerSecond = decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0
    return {
      text,
      ids,
      reason,
      promptTokens: this.#prompt.length,
      promptMs,
      decodeMs,
      tokensPerSecond,
    }
  }
}

const createAbortCheck = ({ signal }: GenerateOptions) => ({
  throwIfAborted: () => signal?.throwIfAborted(),
})

/**
 * Goes on from a prompt. Yields text as soon as it is final, then one 'generation-end'. Greedy
 * unless a temperature is given.
 */
export async function* generate(
  prompt: readonly number[],
  options: GenerateOptions,
  parts: GenerateParts,
): AsyncGenerator<GenerateEvent, void> {
  const { forward, now } = parts
  const answer = new Answer(prompt, options, parts, 0)
  const served = simplifyExpert(options.adapter)
  const each = {
    ...createAbortCheck(options),
    served,
    activeFrom: findActivationStarts(served, [prompt]),
  }
  const cache = forward.cache(1)
  const { head, states } = options
  const logitsAfter = async (tokens: readonly number[]): Promise<Float32Array> => {
    const [[seen]] = (await forward([tokens], cache, {
      ...each,
      states,
      want: head ? 'hidden' : 'logits',
    })) as [[Float32Array]]
    return head ? head(seen) : seen
  }
  const started = now()
  let logits = await logitsAfter(prompt)
  const read = now()
  for (;;) {
    const text = answer.sampleNext(logits)
    if (text !== '') yield { type: 'text-delta', text }
    if (answer.reason !== undefined) break
    logits = await logitsAfter(answer.ids.slice(-1))
  }
  yield { type: 'generation-end', ...answer.toGeneration(read - started, now() - read) }
}

/**
 * Goes on from several prompts together; row i draws with seed + i. Rows that have ended leave the
 * batch when half of it is idle.
 */
export function generateBatch(
  prompts: readonly (readonly number[])[],
  options: GenerateOptions & AdapterChoice,
  parts: GenerateParts,
): Promise<Generation[]> {
  if (options.head || options.states)
    throw new OptionError(
      'A head of one’s own, or a look at states, takes one prompt at a time: use generate.',
    )
  const answers = prompts.map((prompt, i) => new Answer(prompt, options, parts, i))
  return runInGroups(prompts.length, options, parts.grouping, (rows, experts) =>
    generateRows(rows, { prompts, answers, experts, options, parts }),
  )
}

interface BatchContext {
  readonly prompts: readonly (readonly number[])[]
  readonly answers: readonly Answer[]
  readonly experts: readonly (Expert | undefined)[]
  readonly options: GenerateOptions
  readonly parts: GenerateParts
}

/** The given rows in one batch. */
async function generateRows(
  rows: readonly number[],
  { prompts, answers, experts, options, parts }: BatchContext,
): Promise<Generation[]> {
  const { forward, now } = parts
  let cache = forward.cache(rows.length)
  let live = rows
  const starts = findActivationStarts(
    rows.map((row) => experts[row]),
    rows.map((row) => prompts[row]!),
  )
  const each = () => ({
    ...createAbortCheck(options),
    served: selectExperts(live, experts),
    activeFrom: starts && live.map((row) => starts[rows.indexOf(row)]!),
  })
  const started = now()
  let logits = await forward(
    rows.map((row) => prompts[row]!),
    cache,
    each(),
  )
  const read = now()
  const ended = new Map<number, number>()
  for (;;) {
    live.forEach((row, place) => {
      const answer = answers[row]!
      if (answer.reason !== undefined) return
      answer.sampleNext(logits[place]![0]!)
      if (answer.reason !== undefined) ended.set(row, now() - read)
    })
    const places = [...live.keys()].filter((place) => answers[live[place]!]!.reason === undefined)
    if (places.length === 0) break
    if (places.length <= live.length / 2) {
      cache = cache.fork(places)
      live = places.map((place) => live[place]!)
    }
    logits = await forward(
      live.map((row) => answers[row]!.ids.slice(-1)),
      cache,
      each(),
    )
  }
  return rows.map((row) => answers[row]!.toGeneration(read - started, ended.get(row)!))
}
