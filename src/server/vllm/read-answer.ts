// Converts vLLM's records of one answer to the events of an engine: token ids become text here,
// with the tokenizer, stop strings and special tokens of an engine of this process.

import { WorkerError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { createStopMatcher, type StopMatcher } from '../../runtime/decode/stop.ts'
import type { TokenLogprob } from '../../runtime/decode/logprobs.ts'
import { type AnswerWriting, type EndReason, openAnswerText } from '../../runtime/engine/answer.ts'
import type { EngineRequest } from '../../runtime/engine/engine.ts'
import type { GenerateEvent } from '../../runtime/engine/request.ts'
import type { TextStream } from '../../formats/text/text-stream.ts'
import { readChosenTokens, readPromptTokens } from './read-logprobs.ts'

type JsonRecord = Readonly<Record<string, unknown>>

export interface AnswerReading {
  readonly request: EngineRequest
  readonly writing: AnswerWriting
  /** Limit of new tokens; 0: the prompt is only scored. */
  readonly maxTokens: number
  /** Milliseconds. */
  readonly now: () => number
  /** Counts new tokens for callers that ask while it runs. */
  readonly onToken: () => void
}

/** The state of an answer so far. */
class RemoteAnswer {
  readonly ids: number[] = []
  readonly tokens: TokenLogprob[] = []
  text = ''
  reason: EndReason | undefined
  readonly #reading: AnswerReading
  readonly #stream: TextStream
  readonly #matcher: StopMatcher

  constructor(reading: AnswerReading) {
    const { request, writing } = reading
    this.#reading = reading
    this.#stream = openAnswerText(writing.tokenizer, request, request.prompt.at(-1))
    this.#matcher = createStopMatcher(request.stop ?? [])
  }

  /** Takes one id; returns the text that is final now. */
  push(id: number): string {
    if (this.#reading.writing.eosIds.has(id)) return this.end('eos')
    this.ids.push(id)
    this.#reading.onToken()
    const text = this.#matcher.push(this.#stream.push(id))
    if (this.#matcher.found !== undefined) this.reason = 'stop'
    return this.#append(text)
  }

  /** The text that was held back. */
  end(reason: EndReason): string {
    if (this.reason !== undefined) return ''
    const rest = this.#matcher.push(this.#stream.end())
    this.reason = this.#matcher.found === undefined ? reason : 'stop'
    return this.#append(rest + this.#matcher.end())
  }

  #append(text: string): string {
    this.text += text
    return text
  }
}

/** Throws WorkerError if the stream ends before the answer. */
export async function* readAnswer(
  records: AsyncIterable<JsonRecord>,
  reading: AnswerReading,
): AsyncGenerator<GenerateEvent, void> {
  const { request, maxTokens, now } = reading
  const answer = new RemoteAnswer(reading)
  const scores = request.logprobs !== undefined
  const started = now()
  let first: number | undefined
  let cachedTokens = 0
  let promptLogprobs: readonly (TokenLogprob | null)[] | undefined
  for await (const record of records) {
    first ??= now()
    cachedTokens = readCachedTokens(record) ?? cachedTokens
    const choice = readChoice(record)
    if (!choice) continue
    promptLogprobs ??= readPromptTokens(choice, request.prompt, request.promptLogprobs)
    if (answer.reason !== undefined) continue
    const before = answer.ids.length
    const text = maxTokens === 0 ? '' : takeChoice(answer, choice, request)
    const told = scores ? answer.tokens.slice(before) : undefined
    if (text !== '' || (told && told.length > 0))
      yield { type: 'text-delta', text, ...(told && { tokens: told }) }
  }
  if (maxTokens === 0) answer.reason ??= 'length'
  const { ids, reason, tokens } = answer
  if (reason === undefined)
    throw new WorkerError(`vLLM's answer broke off after ${ids.length} tokens. Ask again.`)
  const last = now()
  const decodeMs = last - (first ?? last)
  yield {
    type: 'generation-end',
    text: answer.text,
    ids,
    reason,
    promptTokens: request.prompt.length,
    cachedTokens,
    promptMs: (first ?? last) - started,
    decodeMs,
    tokensPerSecond: decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : 0,
    ...(scores && { tokens }),
    ...(promptLogprobs && { promptLogprobs }),
  }
}

function readChoice({ choices }: JsonRecord): JsonRecord | undefined {
  const [choice]: readonly unknown[] = Array.isArray(choices) ? choices : []
  return isRecord(choice) ? choice : undefined
}

function readCachedTokens({ usage }: JsonRecord): number | undefined {
  const details = isRecord(usage) ? usage['prompt_tokens_details'] : undefined
  const cached = isRecord(details) ? details['cached_tokens'] : undefined
  return typeof cached === 'number' ? cached : undefined
}

/** The text that became final with this record. */
function takeChoice(answer: RemoteAnswer, choice: JsonRecord, request: EngineRequest): string {
  const ids = readIds(choice)
  const scored =
    request.logprobs === undefined ? undefined : readChosenTokens(choice, ids, request.logprobs)
  let text = ''
  for (const [i, id] of ids.entries()) {
    if (answer.reason !== undefined) break
    const count = answer.ids.length
    text += answer.push(id)
    if (scored && answer.ids.length > count) answer.tokens.push(scored[i]!)
  }
  const reason = findEnd(choice)
  return reason === undefined ? text : text + answer.end(reason)
}

function readIds({ token_ids: ids, text }: JsonRecord): readonly number[] {
  if (Array.isArray(ids)) return ids as number[]
  if (text === '' || text === undefined) return []
  throw new WorkerError(
    'vLLM sent text without token ids: it does not know return_token_ids. Use version 0.10.2 or newer.',
  )
}

function findEnd({ finish_reason: reason, stop_reason: at }: JsonRecord): EndReason | undefined {
  if (typeof reason !== 'string') return undefined
  if (reason === 'length') return 'length'
  if (reason === 'stop') return typeof at === 'string' ? 'stop' : 'eos'
  throw new WorkerError(`vLLM ended the answer with the reason "${reason}". Ask again.`)
}
