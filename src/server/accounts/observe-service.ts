// The service as one request uses it: every answer is counted and timed, and the server's own
// limits apply. The counts do not depend on how a route reads the answer.

import { RequestError } from '../request-error.ts'
import type { AnswerEvent, AnswerRequest, Service } from '../service.ts'
import { replaceMethods } from './replace-methods.ts'
import type { AnswerRecord, RequestAccount, RequestObserver } from './account.ts'

/** Limits of one request; undefined: no limit. */
export interface AnswerBounds {
  /** New tokens of one answer: longer ones are cut, with the reason `length`. */
  readonly maxTokens?: number | undefined
  /** Tokens of one prompt. */
  readonly maxPromptTokens?: number | undefined
  /** Answers of one request: prompts times `n`. */
  readonly maxAnswers?: number | undefined
  readonly maxSeconds?: number | undefined
}

interface ObservedParts {
  readonly account: RequestAccount
  readonly observer: RequestObserver
  readonly bounds: AnswerBounds
}

/** The service with `generate` and `embed` observed; all other methods are unchanged. */
export function observeService(service: Service, parts: ObservedParts): Service {
  const observed: Partial<Service> = {
    generate: (request, signal) => observeAnswers(service, parts, request, signal),
    embed: async (request, signal) => {
      const { account } = parts
      checkAnswers(request.inputs.length, parts.bounds)
      const result = await service.embed(request, signal)
      account.expert = result.expert ?? ''
      account.tokens.prompt += result.promptTokens
      return result
    },
  }
  return replaceMethods(service, observed)
}

/** The state of one answer while it is written. */
interface OpenAnswer {
  tokens: number
  lastSeconds: number
  firstSeconds: number | undefined
}

async function* observeAnswers(
  service: Service,
  { account, observer, bounds }: ObservedParts,
  request: AnswerRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, void> {
  checkAnswers((request.prompts?.length ?? 1) * request.copies, bounds)
  account.hold()
  const watch = new AnswerWatch(account, observer, request.copies)
  const limit = openTimeLimit(bounds.maxSeconds)
  let isOpen = true
  /**
   * Ends at once when the client disconnects or the time limit is reached, because nobody reads on
   * then.
   */
  const finish = (failure?: unknown): void => {
    if (!isOpen) return
    isOpen = false
    limit.clear()
    signal?.removeEventListener('abort', leave)
    account.failure ??= failure
    const isCut = watch.close(failure === undefined ? 'abort' : 'error')
    if (isCut && failure === undefined) account.isDisconnected = true
    account.release()
  }
  // One signal for both: Node keeps what listens to an AbortSignal.any.
  const leave = (): void => {
    finish()
    limit.abort(signal!.reason)
  }
  if (signal?.aborted) limit.abort(signal.reason)
  signal?.addEventListener('abort', leave, { once: true })
  limit.signal.addEventListener('abort', () => finish(limit.signal.reason), { once: true })
  try {
    const asked = cutRequest(request, bounds)
    for await (const event of service.generate(asked, limit.signal)) {
      if (event.type === 'start') checkPrompts(event.promptTokens, bounds)
      watch.take(event)
      yield event
    }
    finish()
  } catch (error) {
    const isLate = limit.signal.aborted && !signal?.aborted
    const failure = isLate ? limit.signal.reason : error
    if (signal?.aborted) account.isDisconnected = true
    finish(signal?.aborted ? undefined : failure)
    throw failure
  } finally {
    finish()
  }
}

interface TimeLimit {
  readonly signal: AbortSignal
  /** Aborts it now. */
  readonly abort: (reason: unknown) => void
  readonly clear: () => void
}

/** A signal that aborts after the given number of seconds unless it is cleared. */
function openTimeLimit(seconds = Infinity): TimeLimit {
  const controller = new AbortController()
  const abort = (reason: unknown): void => controller.abort(reason)
  if (seconds === Infinity) return { signal: controller.signal, abort, clear: () => undefined }
  const refuse = (): void => {
    const message = `The answer took longer than ${seconds} s, the limit of this server. Ask for fewer tokens.`
    abort(new RequestError(message, { status: 504, code: 'answer_time_exceeded' }))
  }
  const timer = setTimeout(refuse, seconds * 1000)
  return { signal: controller.signal, abort, clear: () => clearTimeout(timer) }
}

function checkAnswers(answers: number, { maxAnswers = Infinity }: AnswerBounds): void {
  if (answers > maxAnswers)
    throw new RequestError(
      `The request asks for ${answers} answers, prompts times n; this server allows ${maxAnswers} per request. Send several requests.`,
      { code: 'too_many_answers' },
    )
}

function checkPrompts(
  promptTokens: readonly number[],
  { maxPromptTokens = Infinity }: AnswerBounds,
): void {
  const longest = Math.max(0, ...promptTokens)
  if (longest > maxPromptTokens)
    throw new RequestError(
      `The prompt has ${longest} tokens; this server allows ${maxPromptTokens}. Shorten the prompt.`,
      {
        type: 'exceed_context_size_error',
        code: 'context_length_exceeded',
        details: { n_prompt_tokens: longest, n_ctx: maxPromptTokens },
      },
    )
}

const cutRequest = (request: AnswerRequest, { maxTokens }: AnswerBounds): AnswerRequest =>
  maxTokens === undefined || (request.maxTokens ?? Infinity) <= maxTokens
    ? request
    : Object.assign({}, request, { maxTokens })

/** Follows the events of one `generate` call. */
class AnswerWatch {
  readonly #account: RequestAccount
  readonly #observer: RequestObserver
  readonly #open = new Map<number, OpenAnswer>()
  /** Answers of each prompt. */
  readonly #copies: number
  #expert = ''
  #promptTokens: readonly number[] = []

  constructor(account: RequestAccount, observer: RequestObserver, copies: number) {
    this.#account = account
    this.#observer = observer
    this.#copies = copies
  }

  take(event: AnswerEvent): void {
    if (event.type === 'start') this.#start(event)
    if (event.type === 'delta') this.#addTokens(event.index, event.completionTokens)
    if (event.type === 'end') this.#end(event)
  }

  #start({ expert = '', promptTokens }: Extract<AnswerEvent, { type: 'start' }>): void {
    this.#expert = expert
    this.#account.expert = expert
    this.#promptTokens = promptTokens
    for (let index = 0; index < promptTokens.length * this.#copies; index++) {
      this.#open.set(index, { tokens: 0, lastSeconds: 0, firstSeconds: undefined })
      this.#observer.onQueue?.(this.#account, expert)
    }
  }

  /**
   * Tokens that were held back arrive together; the time since the previous ones is divided among
   * them.
   */
  #addTokens(index: number, total: number): void {
    const answer = this.#open.get(index)
    if (answer === undefined) return
    const seconds = this.#account.readSeconds()
    let added = total - answer.tokens
    if (added <= 0) return
    const expert = this.#expert
    if (answer.firstSeconds === undefined) {
      answer.firstSeconds = seconds
      this.#account.firstTokenMs ??= seconds * 1000
      this.#observer.onTokens?.(this.#account, { expert, isFirst: true, seconds, tokens: 1 })
      answer.lastSeconds = seconds
      added--
    }
    if (added > 0)
      this.#observer.onTokens?.(this.#account, {
        expert,
        isFirst: false,
        seconds: (seconds - answer.lastSeconds) / added,
        tokens: added,
      })
    answer.tokens = total
    answer.lastSeconds = seconds
  }

  #end({ index, reason, usage, times }: Extract<AnswerEvent, { type: 'end' }>): void {
    this.#addTokens(index, usage.completionTokens)
    this.#report(index, reason, usage, times.promptMs / 1000, times.decodeMs / 1000)
  }

  /** The prompt of several answers is read once and counted for the first of them. */
  #report(
    index: number,
    reason: AnswerRecord['reason'],
    given: AnswerRecord['usage'],
    prefillSeconds: number,
    decodeSeconds: number,
  ): void {
    const firstSeconds = this.#open.get(index)?.firstSeconds
    if (!this.#open.delete(index)) return
    const isCopy = index % this.#copies !== 0
    const usage = isCopy ? Object.assign({}, given, { promptTokens: 0, cachedTokens: 0 }) : given
    const { tokens, answers } = this.#account
    tokens.prompt += usage.promptTokens
    tokens.cached += usage.cachedTokens
    tokens.completion += usage.completionTokens
    const answer: AnswerRecord = {
      expert: this.#expert,
      reason,
      usage,
      firstTokenSeconds: firstSeconds,
      totalSeconds: this.#account.readSeconds(),
      prefillSeconds,
      decodeSeconds,
    }
    answers.push(answer)
    this.#observer.onAnswer?.(this.#account, answer)
  }

  /** Reports answers that did not end, with what they wrote; returns whether there were any. */
  close(reason: 'abort' | 'error'): boolean {
    const isCut = this.#open.size > 0
    for (const [index, { tokens }] of this.#open) {
      const promptTokens = this.#promptTokens[Math.floor(index / this.#copies)] ?? 0
      const usage = { promptTokens, cachedTokens: 0, completionTokens: tokens, reasoningTokens: 0 }
      this.#report(index, reason, usage, 0, 0)
    }
    return isCut
  }
}
