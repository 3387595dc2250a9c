// The account of one request, from its first header to its last byte. Middleware and the observed
// service fill it in; observers read it. Independent of HTTP.

import type { ApiKeyRecord } from '../keys/api-key.ts'
import type { Route } from '../route.ts'
import type { AnswerEnd, AnswerUsage } from '../service.ts'

/** Milliseconds since 1970, and milliseconds of a monotonic clock. */
export interface Clock {
  readonly now: () => number
  readonly tick: () => number
}

/** How one answer ended. */
export interface AnswerRecord {
  /** The expert as a mixture is written; '' for the base. */
  readonly expert: string
  /** 'abort': the client went away; 'error': the engine failed. */
  readonly reason: AnswerEnd | 'abort' | 'error'
  readonly usage: AnswerUsage
  /** Seconds from the request's beginning to the answer's first token, and to its end. */
  readonly firstTokenSeconds: number | undefined
  readonly totalSeconds: number
  /** Seconds spent on reading the prompt and on writing the answer. */
  readonly prefillSeconds: number
  readonly decodeSeconds: number
}

/** New tokens of one answer. */
export interface TokenGap {
  readonly expert: string
  readonly isFirst: boolean
  /** Seconds since the request began, or since the previous tokens. */
  readonly seconds: number
  readonly tokens: number
}

/** Receives what happens to requests. No method may throw. */
export interface RequestObserver {
  /** An answer is queued. */
  onQueue?(account: RequestAccount, expert: string): void
  onTokens?(account: RequestAccount, gap: TokenGap): void
  onAnswer?(account: RequestAccount, answer: AnswerRecord): void
  /** Called last: nothing follows. */
  onEnd?(account: RequestAccount): void
}

export interface AccountStart {
  readonly id: string
  readonly method: string
  readonly path: string
  /** W3C `traceparent` of the caller. */
  readonly parent?: string | undefined
}

export class RequestAccount {
  readonly start: AccountStart
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly startedTick: number
  route: Route | undefined
  key: ApiKeyRecord | undefined
  /** The body as it was read and checked. */
  body: Readonly<Record<string, unknown>> = {}
  /**
   * The last expert that answered, as a mixture is written; '' for the base, or if none answered.
   */
  expert = ''
  readonly tokens = { prompt: 0, cached: 0, completion: 0 }
  readonly answers: AnswerRecord[] = []
  firstTokenMs: number | undefined
  status = 0
  /** Why the request failed, for the log; the client gets another message. */
  failure: unknown
  /** The client went away before the end. */
  isDisconnected = false
  durationMs = 0
  readonly #clock: Clock
  readonly #onEnd: (account: RequestAccount) => void
  #holds = 1
  #isEnded = false

  constructor(start: AccountStart, clock: Clock, onEnd: (account: RequestAccount) => void) {
    this.start = start
    this.#clock = clock
    this.#onEnd = onEnd
    this.startedAt = clock.now()
    this.startedTick = clock.tick()
  }

  /** The request's `user`, at most 256 characters; '' if it names none. */
  get user(): string {
    const { user } = this.body
    return typeof user === 'string' ? user.slice(0, 256) : ''
  }

  /** Whether the request ended in an error or was cancelled. */
  get isFailed(): boolean {
    return this.isDisconnected || this.failure !== undefined || this.status >= 400
  }

  /** Seconds since it began. */
  readSeconds(): number {
    return (this.#clock.tick() - this.startedTick) / 1000
  }

  /**
   * The request stays open until `release` was called as often as this, and once more for the
   * response.
   */
  hold(): void {
    this.#holds++
  }

  release(): void {
    if (--this.#holds > 0 || this.#isEnded) return
    this.#isEnded = true
    this.durationMs = this.#clock.tick() - this.startedTick
    this.#onEnd(this)
  }
}
