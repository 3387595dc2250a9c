// Decides whether a request may begin now: requests and tokens per minute and concurrent requests
// of each key, and concurrent requests of all keys. Counted in this process, from zero at its
// start. Independent of HTTP.

import type { KeyLimits } from '../keys/api-key.ts'
import { RequestError } from '../request-error.ts'
import { formatReset, RateBucket } from './rate-bucket.ts'

/** An admitted request. */
export interface Admission {
  /** OpenAI's `x-ratelimit-…` headers, if the key has limits. */
  readonly headers: Readonly<Record<string, string>>
  /** Called once, at the request's end, with its prompt and answer tokens. */
  end(tokens: number): void
}

export interface LimitedKey {
  /** How the key is named in messages. */
  readonly title: string
  readonly name: string
  readonly limits: KeyLimits
}

interface KeyState {
  readonly requests: RateBucket | undefined
  readonly tokens: RateBucket | undefined
  /** The limits that the state was made for. */
  readonly limits: string
  running: number
}

/** A request that a concurrency limit refuses may be retried after this many seconds. */
const busyRetrySeconds = 1

export class KeyLimiter {
  /** Of all keys together. */
  readonly #mostRunning: number
  readonly #now: () => number
  readonly #keys = new Map<string, KeyState>()
  #running = 0

  /** `mostRunning`: requests that run or wait at a time. `now` in milliseconds. */
  constructor(mostRunning: number, now: () => number) {
    this.#mostRunning = mostRunning
    this.#now = now
  }

  /** Admitted requests that have not ended. */
  get running(): number {
    return this.#running
  }

  /**
   * Admits a request or throws a RequestError of status 429. A request begins while the key's
   * balance of tokens is above zero; what it used is subtracted at its end, also below zero,
   * because the length of an answer is not known before. So the average is kept, and later requests
   * wait after a burst.
   */
  admit(key: LimitedKey): Admission {
    const now = this.#now()
    const state = this.#getState(key, now)
    if (this.#running >= this.#mostRunning)
      throw refuse(
        `The server answers ${this.#running} requests, and its limit is ${this.#mostRunning}. Try again later.`,
        'server_busy',
        busyRetrySeconds,
      )
    this.#checkKey(key, state, now)
    state.requests?.take(1, now)
    state.running++
    this.#running++
    let isOpen = true
    return {
      headers: describeLimits(state, now),
      end: (tokens) => {
        if (!isOpen) return
        isOpen = false
        state.running--
        this.#running--
        state.tokens?.take(tokens, this.#now())
      },
    }
  }

  #checkKey({ title, limits }: LimitedKey, state: KeyState, now: number): void {
    if (limits.concurrent !== undefined && state.running >= limits.concurrent)
      throw refuse(
        `${title} may have ${limits.concurrent} requests answered at the same time, and has ${state.running}.`,
        'too_many_requests',
        busyRetrySeconds,
      )
    const requestsMs = state.requests?.computeWaitMs(1, now) ?? 0
    if (requestsMs > 0)
      throw refuse(
        `${title} may make ${limits.requestsPerMinute} requests per minute. The next one is possible in ${formatReset(requestsMs)}.`,
        'rate_limit_exceeded',
        requestsMs / 1000,
      )
    const tokensMs = state.tokens?.computeWaitMs(1, now) ?? 0
    if (tokensMs > 0)
      throw refuse(
        `${title} may use ${limits.tokensPerMinute} tokens per minute. The next request is possible in ${formatReset(tokensMs)}.`,
        'rate_limit_exceeded',
        tokensMs / 1000,
      )
  }

  /** The state of a key; a new one if its limits were changed. */
  #getState({ name, limits }: LimitedKey, now: number): KeyState {
    const { requestsPerMinute, tokensPerMinute } = limits
    const written = JSON.stringify([requestsPerMinute, tokensPerMinute])
    const found = this.#keys.get(name)
    if (found?.limits === written) return found
    const open = (perMinute: number | undefined): RateBucket | undefined =>
      perMinute === undefined ? undefined : new RateBucket(perMinute, now)
    const state = {
      requests: open(requestsPerMinute),
      tokens: open(tokensPerMinute),
      limits: written,
      running: found?.running ?? 0,
    }
    this.#keys.set(name, state)
    return state
  }
}

const refuse = (message: string, code: string, retryAfter: number): RequestError =>
  new RequestError(message, { status: 429, code, retryAfter })

function describeLimits({ requests, tokens }: KeyState, now: number): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, bucket] of [
    ['requests', requests],
    ['tokens', tokens],
  ] as const) {
    if (bucket === undefined) continue
    headers[`x-ratelimit-limit-${name}`] = String(bucket.perMinute)
    headers[`x-ratelimit-remaining-${name}`] = String(
      Math.max(0, Math.floor(bucket.readBalance(now))),
    )
    headers[`x-ratelimit-reset-${name}`] = formatReset(bucket.computeWaitMs(bucket.perMinute, now))
  }
  return headers
}
