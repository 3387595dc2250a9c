// Applies the limits of keys to requests, and releases what they hold when they end.

import type { RequestAccount, RequestObserver } from '../accounts/account.ts'
import { describeApiKey, type KeyLimits } from '../keys/api-key.ts'
import type { Admission, KeyLimiter, LimitedKey } from './key-limiter.ts'

export interface RequestAdmission {
  /** Throws RequestError of status 429. Returns headers for the response. */
  admit(account: RequestAccount): Readonly<Record<string, string>>
  /** Ends an admitted request. */
  readonly observer: RequestObserver
}

/** `usual`: the limits of keys without their own, and of requests without a key. */
export function createRequestAdmission(limiter: KeyLimiter, usual: KeyLimits): RequestAdmission {
  const admissions = new WeakMap<RequestAccount, Admission>()
  return {
    admit: (account) => {
      const admission = limiter.admit(toLimitedKey(account, usual))
      admissions.set(account, admission)
      return admission.headers
    },
    observer: {
      onEnd: (account) => {
        const { prompt, completion } = account.tokens
        admissions.get(account)?.end(prompt + completion)
      },
    },
  }
}

function toLimitedKey({ key }: RequestAccount, usual: KeyLimits): LimitedKey {
  const { requestsPerMinute, tokensPerMinute, concurrent } = key?.limits ?? {}
  return {
    title: key === undefined ? 'This server' : toSentenceStart(describeApiKey(key)),
    name: key?.name ?? '',
    limits: {
      requestsPerMinute: requestsPerMinute ?? usual.requestsPerMinute,
      tokensPerMinute: tokensPerMinute ?? usual.tokensPerMinute,
      concurrent: concurrent ?? usual.concurrent,
    },
  }
}

const toSentenceStart = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
