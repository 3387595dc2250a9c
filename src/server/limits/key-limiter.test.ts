import { describe, expect, it } from 'vitest'
import type { KeyLimits } from '../keys/api-key.ts'
import { RequestError } from '../request-error.ts'
import { type Admission, KeyLimiter } from './key-limiter.ts'
import { formatReset, RateBucket } from './rate-bucket.ts'

function createLimiter(mostRunning = 100) {
  const clock = { ms: 0 }
  const limiter = new KeyLimiter(mostRunning, () => clock.ms)
  const admit = (limits: KeyLimits = {}, name = 'ci'): Admission =>
    limiter.admit({ title: `The key "${name}"`, name, limits })
  const refusal = (limits: KeyLimits = {}, name = 'ci'): RequestError | undefined => {
    try {
      admit(limits, name)
      return undefined
    } catch (error) {
      if (error instanceof RequestError) return error
      throw error
    }
  }
  return { clock, limiter, admit, refusal }
}

describe('requests per minute', () => {
  it('begin while there are some left, and come back evenly', () => {
    const { clock, admit, refusal } = createLimiter()
    const limits = { requestsPerMinute: 3 }
    for (let i = 0; i < 3; i++) admit(limits).end(0)
    const error = refusal(limits)!
    expect(error.status).toBe(429)
    expect(error.code).toBe('rate_limit_exceeded')
    expect(error.retryAfter).toBe(20)
    expect(error.message).toContain('"ci" may make 3 requests per minute')
    clock.ms = 19_999
    expect(refusal(limits)).toBeDefined()
    clock.ms = 20_000
    admit(limits).end(0)
    expect(refusal(limits)).toBeDefined()
  })
  it('are counted for each key', () => {
    const { admit, refusal } = createLimiter()
    admit({ requestsPerMinute: 1 })
    expect(refusal({ requestsPerMinute: 1 })).toBeDefined()
    expect(refusal({ requestsPerMinute: 1 }, 'app')).toBeUndefined()
  })
  it('never gather more than a minute holds', () => {
    const { clock, admit, refusal } = createLimiter()
    clock.ms = 1e9
    admit({ requestsPerMinute: 2 }).end(0)
    admit({ requestsPerMinute: 2 }).end(0)
    expect(refusal({ requestsPerMinute: 2 })).toBeDefined()
  })
  it('are refused without being counted', () => {
    const { clock, admit, refusal } = createLimiter()
    admit({ requestsPerMinute: 1 })
    for (let i = 0; i < 100; i++) refusal({ requestsPerMinute: 1 })
    clock.ms = 60_000
    expect(refusal({ requestsPerMinute: 1 })).toBeUndefined()
  })
  it('begin anew where the limit was changed', () => {
    const { admit, refusal } = createLimiter()
    admit({ requestsPerMinute: 1 })
    expect(refusal({ requestsPerMinute: 5 })).toBeUndefined()
  })
})

describe('tokens per minute', () => {
  it('are subtracted at the end, also below zero', () => {
    const { clock, admit, refusal } = createLimiter()
    const limits = { tokensPerMinute: 600 }
    admit(limits).end(1200) // ten tokens per second: 60 s of debt
    const error = refusal(limits)!
    expect(error.retryAfter).toBeCloseTo(60.1)
    clock.ms = 60_100
    expect(refusal(limits)).toBeUndefined()
  })
})

describe('requests at the same time', () => {
  it('of a key are free again when one ends, once', () => {
    const { admit, refusal } = createLimiter()
    const limits = { concurrent: 2 }
    const first = admit(limits)
    admit(limits)
    expect(refusal(limits)!.message).toContain('2 requests answered at the same time')
    first.end(1)
    first.end(1)
    admit(limits)
    expect(refusal(limits)).toBeDefined()
  })
  it('of all keys have a limit of their own', () => {
    const { limiter, admit, refusal } = createLimiter(2)
    const first = admit({}, 'a')
    admit({}, 'b')
    const error = refusal({}, 'c')!
    expect([error.status, error.code, error.retryAfter]).toEqual([429, 'server_busy', 1])
    first.end(0)
    expect(refusal({}, 'c')).toBeUndefined()
    expect(limiter.running).toBe(2)
  })
})

describe('the headers', () => {
  it("are OpenAI's", () => {
    const { admit } = createLimiter()
    expect(admit({ requestsPerMinute: 60, tokensPerMinute: 6000 }).headers).toEqual({
      'x-ratelimit-limit-requests': '60',
      'x-ratelimit-remaining-requests': '59',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-limit-tokens': '6000',
      'x-ratelimit-remaining-tokens': '6000',
      'x-ratelimit-reset-tokens': '0s',
    })
  })
  it('are absent where the key has no limits', () => {
    const { admit } = createLimiter()
    expect(admit().headers).toEqual({})
  })
  it.each([
    [0, '0s'],
    [0.2, '1ms'],
    [350, '350ms'],
    [1000, '1s'],
    [1410, '1.5s'],
    [59_999, '1m0s'],
    [360_000, '6m0s'],
    [60_001, '1m1s'],
  ])('write %d ms as %s', (milliseconds, text) => expect(formatReset(milliseconds)).toBe(text))
})

describe('a bucket', () => {
  it('is not refilled by a clock that goes back', () => {
    const bucket = new RateBucket(60, 10_000)
    bucket.take(60, 10_000)
    expect(bucket.readBalance(5000)).toBe(0)
    expect(bucket.readBalance(11_000)).toBe(1)
  })
})
