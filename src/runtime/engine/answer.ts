// One answer while it is written: which token comes next, which text is final, when it ends.

import { random } from '../../base/random.ts'
import type { OptionValues } from '../../base/schema.ts'
import { type TextStream, createTextStream } from '../../formats/text/text-stream.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { createProcessors } from '../decode/processors/processor-table.ts'
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
  /** Prompt tokens whose keys and values came from the cache. */
  readonly cachedTokens: number
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

type Settings = Pick<
  OptionValues<typeof generateFields>,
  | 'bannedTokens'
  | 'frequencyPenalty'
  | 'logitBias'
  | 'maxTokens'
  | 'minP'
  | 'minTokens'
  | 'presencePenalty'
  | 'repetitionPenalty'
  | 'seed'
  | 'stop'
  | 'temperature'
  | 'topK'
  | 'topP'
>

export class Answer {
  /** New tokens. */
  readonly ids: number[] = []
  text = ''
  reason: EndReason | undefined
  /** Prompt and answer: the sequence's one array, which grows here. */
  readonly #tokens: number[]
  readonly #promptTokens: number
  readonly #sampler: Sampler
  readonly #stream: TextStream
  readonly #matcher: StopMatcher
  readonly #limit: number
  readonly #eosIds: ReadonlySet<number>

  /** `tokens` holds the prompt. `index` is the answer's row in its batch; it draws with seed + index. */
  constructor(
    tokens: number[],
    settings: Settings,
    { tokenizer, eosIds, contextTokens }: AnswerParts,
    index = 0,
  ) {
    this.#tokens = tokens
    this.#promptTokens = tokens.length
    const processors = createProcessors(settings, eosIds)
    this.#sampler = createSampler(settings, random(settings.seed + index), processors)
    this.#stream = tokenizer
      ? createTextStream(tokenizer, { skipSpecialTokens: true })
      : { push: () => '', end: () => '' }
    this.#matcher = createStopMatcher(settings.stop)
    this.#limit = Math.min(settings.maxTokens, contextTokens - tokens.length)
    this.#eosIds = eosIds
  }

  /** Chooses the next token; returns the text that is final now. */
  sampleNext(logits: Float32Array): string {
    const id = this.#sampler(logits, { tokens: this.#tokens, promptTokens: this.#promptTokens })
    if (this.#eosIds.has(id)) return this.#end('eos', this.#stream.end())
    this.#tokens.push(id)
    this.ids.push(id)
    const text = this.#matcher.push(this.#stream.push(id))
    if (this.#matcher.found !== undefined) return this.#end('stop', '', text)
    if (this.ids.length === this.#limit) return this.#end('length', this.#stream.end(), text)
    return this.#appendText(text)
  }

  /** Milliseconds of reading and writing; prompt tokens without virtual ones. */
  toGeneration(
    promptMs: number,
    decodeMs: number,
    counts: { readonly promptTokens: number; readonly cachedTokens: number },
  ): Generation {
    const { text, ids, reason = 'length' } = this
    const tokensPerSecond = decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0
    const { promptTokens, cachedTokens } = counts
    return { text, ids, reason, promptTokens, cachedTokens, promptMs, decodeMs, tokensPerSecond }
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
