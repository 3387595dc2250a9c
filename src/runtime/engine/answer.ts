// One answer while it is written: which token comes next, which text is final, when it ends.

import { NumericError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { OptionValues } from '../../base/schema.ts'
import {
  createTextStream,
  type TextStream,
  type TextStreamOptions,
} from '../../formats/text/text-stream.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { scoreToken, type TokenLogprob } from '../decode/logprobs.ts'
import { isOnlyEnd } from '../decode/processors/grammar-mask.ts'
import type { ProcessorContext } from '../decode/processors/processor.ts'
import { createProcessors } from '../decode/processors/processor-table.ts'
import { createSampler, type Sampler } from '../decode/sampler.ts'
import type { TokenMatcher } from '../grammar/grammar-host.ts'
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
  /** Milliseconds of prefill, up to the first token. */
  readonly promptMs: number
  /** Milliseconds of decoding all tokens after the first. */
  readonly decodeMs: number
  /** Tokens after the first per second of decoding; 0 for answers of at most one token. */
  readonly tokensPerSecond: number
  /** One entry for each new token, if `logprobs` was requested. */
  readonly tokens?: readonly TokenLogprob[]
  /**
   * One entry for each token of the prompt, if `promptLogprobs` was requested; null for the first
   * one.
   */
  readonly promptLogprobs?: readonly (TokenLogprob | null)[]
}

/** A part of an answer. */
export interface TextDelta {
  readonly type: 'text-delta'
  readonly text: string
  /** The tokens since the previous event, if `logprobs` was requested. */
  readonly tokens?: readonly TokenLogprob[]
  /** Only in an event before the first text, if `promptLogprobs` was requested. */
  readonly promptLogprobs?: readonly (TokenLogprob | null)[]
}

/** How an expert's ids become text, and which ids end it. */
export interface AnswerWriting {
  /** Without a tokenizer the answer has ids and no text. */
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
  | 'continuesText'
  | 'frequencyPenalty'
  | 'grammar'
  | 'keepTokens'
  | 'logitBias'
  | 'logprobs'
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

const chooseShownTokens = (
  { tokenId }: Tokenizer,
  keepTokens: readonly string[],
): TextStreamOptions => {
  const kept = keepTokens.map((token) => tokenId(token)).filter((id) => id !== undefined)
  return { skipSpecialTokens: true, keptIds: new Set(kept) }
}

/** Lets a stream begin after the prompt's last token, unless that token ends within a character. */
function readBefore(stream: TextStream, tokenizer: Tokenizer, last: number | undefined): void {
  if (last === undefined || tokenizer.isByteToken?.(last)) return
  const text = tokenizer.decode([last], { skipSpecialTokens: true })
  if (text !== '' && !text.endsWith('\ufffd')) stream.push(last)
}

/** Opens the text of an answer whose prompt ends with the id `last`. */
export function openAnswerText(
  tokenizer: Tokenizer | undefined,
  {
    keepTokens = [],
    continuesText = false,
  }: {
    readonly keepTokens?: readonly string[] | undefined
    readonly continuesText?: boolean | undefined
  },
  last: number | undefined,
): TextStream {
  if (!tokenizer) return { push: () => '', end: () => '' }
  const stream = createTextStream(tokenizer, chooseShownTokens(tokenizer, keepTokens))
  if (continuesText) readBefore(stream, tokenizer, last)
  return stream
}

const createLogitsError = (): NumericError =>
  new NumericError(
    'The logits hold NaN or infinity, so no token can be drawn. Very large weights of experts cause this: use smaller ones.',
  )

export class Answer {
  /** New tokens. */
  readonly ids: number[] = []
  text = ''
  /** Set from the beginning if the answer has no tokens. */
  reason: EndReason | undefined
  /**
   * The matcher of the answer's grammar, set before its first token. The owner of the answer waits
   * for it and closes it.
   */
  grammar: TokenMatcher | undefined
  /** Scores of `ids`, if they were requested. */
  readonly tokens: TokenLogprob[] | undefined
  readonly #alternatives: number
  /** How many of the scores were emitted. */
  #told = 0
  /** Prompt and answer: the sequence's one array, which grows here. */
  readonly #context: ProcessorContext & { readonly tokens: number[] }
  readonly #sampler: Sampler
  readonly #stream: TextStream
  readonly #matcher: StopMatcher
  readonly #limit: number
  readonly #eosIds: ReadonlySet<number>
  readonly #leastTokens: number

  /**
   * `tokens` contains the prompt. `index` is the answer's row in its batch; it draws with seed +
   * index.
   */
  constructor(
    tokens: number[],
    settings: Settings,
    { tokenizer, eosIds, contextTokens }: AnswerParts,
    index = 0,
  ) {
    this.#context = { tokens, promptTokens: tokens.length }
    this.#leastTokens = settings.minTokens
    const processors = createProcessors(
      settings,
      eosIds,
      settings.grammar && (() => this.grammar?.mask),
    )
    this.#sampler = createSampler(settings, random(settings.seed + index), processors)
    this.#stream = openAnswerText(tokenizer, settings, tokens.at(-1))
    this.#matcher = createStopMatcher(settings.stop)
    this.#limit = Math.min(settings.maxTokens, contextTokens - tokens.length)
    this.#eosIds = eosIds
    this.#alternatives = settings.logprobs ?? 0
    this.tokens = settings.logprobs === undefined ? undefined : []
    if (this.#limit === 0) this.reason = 'length'
  }

  /** New tokens that may still come. */
  get left(): number {
    return this.#limit - this.ids.length
  }

  /** Chooses the next token; the text that is final now, undefined if there is none. */
  sampleNext(logits: Float32Array): TextDelta | undefined {
    const text = this.#chooseNext(logits)
    const { tokens } = this
    if (!tokens) return text === '' ? undefined : { type: 'text-delta', text }
    // Tokens whose text is held back are emitted with it, and at the end.
    if (text === '' && (this.reason === undefined || this.#told === tokens.length)) return undefined
    const delta = { type: 'text-delta', text, tokens: tokens.slice(this.#told) } as const
    this.#told = tokens.length
    return delta
  }

  #chooseNext(logits: Float32Array): string {
    const { mask } = this.grammar ?? {}
    // With too few tokens the mask's processor throws the error.
    if (mask && this.ids.length >= this.#leastTokens && isOnlyEnd(mask, logits.length))
      return this.#end('eos', this.#stream.end())
    const id = this.#sampler(logits, this.#context)
    // No token can be drawn if all comparisons are false, as with NaN.
    if (id === undefined) throw createLogitsError()
    if (this.#eosIds.has(id)) return this.#end('eos', this.#stream.end())
    this.#context.tokens.push(id)
    this.ids.push(id)
    this.grammar?.accept(id)
    this.tokens?.push(scoreToken(logits, id, this.#alternatives))
    const text = this.#matcher.push(this.#stream.push(id))
    if (this.#matcher.found !== undefined) return this.#end('stop', '', text)
    if (this.ids.length === this.#limit) return this.#end('length', this.#stream.end(), text)
    return this.#appendText(text)
  }

  /** Milliseconds of reading and writing; prompt tokens without virtual ones. */
  toGeneration(
    promptMs: number,
    decodeMs: number,
    prompt: Pick<Generation, 'promptTokens' | 'cachedTokens' | 'promptLogprobs'>,
  ): Generation {
    const { text, ids, reason = 'length', tokens } = this
    const tokensPerSecond = decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0
    const scores = tokens && { tokens }
    return { text, ids, reason, ...prompt, promptMs, decodeMs, tokensPerSecond, ...scores }
  }

  #appendText(text: string): string {
    this.text += text
    return text
  }

  #end(reason: EndReason, rest: string, before = ''): string {
    // Half a character would not be a prefix of a text that fits a grammar.
    const whole = this.grammar ? rest.replace(/\ufffd+$/, '') : rest
    const more = this.#matcher.push(whole)
    this.reason = this.#matcher.found === undefined ? reason : 'stop'
    return this.#appendText(before + more + this.#matcher.end())
  }
}
