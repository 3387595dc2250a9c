// One answer while it is written: which token comes next, which text is final, when it ends.

import { ContextLengthError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { OptionValues } from '../../base/schema.ts'
import { type TextStream, createTextStream } from '../../formats/text/text-stream.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { createSampler, type Sampler } from '../decode/sampler.ts'
import { createStopMatcher, type StopMatcher } from '../decode/stop.ts'
import type { generateFields } from './generate-options.ts'

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

/** What text an expert's ids are, and where it ends. */
export interface AnswerWriting {
  /** Without a tokenizer only ids come out, no text. */
  readonly tokenizer: Tokenizer | undefined
  readonly eosIds: ReadonlySet<number>
}

/** What an answer needs of its model. */
export interface AnswerParts extends AnswerWriting {
  readonly contextTokens: number
}

type Settings = OptionValues<typeof generateFields>

function checkPrompt(prompt: readonly number[], contextTokens: number): void {
  if (prompt.length === 0)
    throw new OptionError('The prompt is empty: a model needs at least one token to continue.')
  if (prompt.length >= contextTokens) {
    throw new ContextLengthError(
      `The prompt has ${prompt.length} tokens; the model's context holds ${contextTokens}, with the answer. Shorten the prompt.`,
    )
  }
}

export class Answer {
  /** New tokens. */
  readonly ids: number[] = []
  text = ''
  reason: EndReason | undefined
  /** Prompt and answer: one array that grows, because the sampler reads it at every token. */
  readonly #tokens: number[]
  readonly #promptTokens: number
  readonly #sampler: Sampler
  readonly #stream: TextStream
  readonly #matcher: StopMatcher
  readonly #limit: number
  readonly #minTokens: number
  readonly #eosIds: ReadonlySet<number>

  /** `index` is the answer's row in its batch; it draws with seed + index. */
  constructor(
    prompt: readonly number[],
    settings: Settings,
    { tokenizer, eosIds, contextTokens }: AnswerParts,
    index: number,
  ) {
    checkPrompt(prompt, contextTokens)
    this.#tokens = [...prompt]
    this.#promptTokens = prompt.length
    this.#sampler = createSampler(settings, random(settings.seed + index))
    this.#stream = tokenizer
      ? createTextStream(tokenizer, { skipSpecialTokens: true })
      : { push: () => '', end: () => '' }
    this.#matcher = createStopMatcher(settings.stop)
    this.#limit = Math.min(settings.maxTokens, contextTokens - prompt.length)
    this.#minTokens = settings.minTokens
    this.#eosIds = eosIds
  }

  /** Chooses the next token; returns the text that is final now. */
  sampleNext(logits: Float32Array): string {
    const id = this.#sampler(this.#maskEnd(logits), this.#tokens)
    if (this.#eosIds.has(id)) return this.#end('eos', this.#stream.end())
    this.#tokens.push(id)
    this.ids.push(id)
    const text = this.#matcher.push(this.#stream.push(id))
    if (this.#matcher.found !== undefined) return this.#end('stop', '', text)
    if (this.ids.length === this.#limit) return this.#end('length', this.#stream.end(), text)
    return this.#appendText(text)
  }

  toGeneration(promptMs: number, decodeMs: number): Generation {
    const { text, ids, reason = 'length' } = this
    const tokensPerSecond = decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0
    const promptTokens = this.#promptTokens
    return { text, ids, reason, promptTokens, promptMs, decodeMs, tokensPerSecond }
  }

  /** Before the least number of tokens, end-of-text tokens cannot be chosen. */
  #maskEnd(logits: Float32Array): Float32Array {
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
}
