import { describe, expect, it } from 'vitest'
import { RequestError } from '../request-error.ts'
import type { AnswerEvent, AnswerRequest, Service } from '../service.ts'
import { type AnswerRecord, RequestAccount, type TokenGap } from './account.ts'
import { type AnswerBounds, observeService } from './observe-service.ts'

const delta = (index: number, completionTokens: number): AnswerEvent => ({
  type: 'delta',
  index,
  text: 'x',
  completionTokens,
})
const end = (index: number, completionTokens: number): AnswerEvent => ({
  type: 'end',
  index,
  reason: 'length',
  ids: [],
  usage: { promptTokens: 4, cachedTokens: 1, completionTokens, reasoningTokens: 0 },
  times: { promptMs: 10, decodeMs: 20 },
})
const start: AnswerEvent = {
  type: 'start',
  expert: 'coder',
  model: 'coder',
  promptTexts: [],
  promptTokens: [4],
  seed: 1,
}
const request: AnswerRequest = { prompts: ['a'], copies: 1, sampling: {}, stop: [] }

/** A service that answers with these events; a number waits that long first. */
function createObserved(events: readonly (AnswerEvent | number | Error)[], bounds: AnswerBounds) {
  const clock = { ms: 0 }
  const log: string[] = []
  const gaps: TokenGap[] = []
  const answers: AnswerRecord[] = []
  const asked: AnswerRequest[] = []
  const account = new RequestAccount(
    { id: 'a', method: 'POST', path: '/' },
    { now: () => 0, tick: () => clock.ms },
    () => log.push('end'),
  )
  async function* generate(given: AnswerRequest, signal?: AbortSignal) {
    asked.push(given)
    for (const event of events) {
      signal?.throwIfAborted()
      if (event instanceof Error) throw event
      if (typeof event === 'number') clock.ms += event
      else yield event
    }
  }
  const service = observeService({ generate, tokenize: async () => ({}) } as unknown as Service, {
    account,
    bounds,
    observer: {
      onQueue: (_, expert) => log.push(`queue ${expert}`),
      onTokens: (_, gap) => void gaps.push(gap),
      onAnswer: (_, answer) => void answers.push(answer),
    },
  })
  return { account, service, log, gaps, answers, asked }
}

async function take(stream: AsyncIterable<AnswerEvent>, most = Infinity): Promise<number> {
  let count = 0
  for await (const _ of stream) if (++count >= most) break
  return count
}

describe('an observed answer', () => {
  it('is counted and timed: the first token, the gaps, the end', async () => {
    const events = [start, 5, delta(0, 1), 2, delta(0, 2), 6, delta(0, 5), end(0, 5)]
    const { account, service, log, gaps, answers } = createObserved(events, {})
    expect(await take(service.generate(request))).toBe(5)
    account.release()
    expect(log).toEqual(['queue coder', 'end'])
    expect(gaps).toEqual([
      { expert: 'coder', isFirst: true, seconds: 0.005, tokens: 1 },
      { expert: 'coder', isFirst: false, seconds: 0.002, tokens: 1 },
      { expert: 'coder', isFirst: false, seconds: expect.closeTo(0.002), tokens: 3 },
    ])
    expect(answers).toEqual([
      {
        expert: 'coder',
        reason: 'length',
        usage: { promptTokens: 4, cachedTokens: 1, completionTokens: 5, reasoningTokens: 0 },
        firstTokenSeconds: 0.005,
        totalSeconds: 0.013,
        prefillSeconds: 0.01,
        decodeSeconds: 0.02,
      },
    ])
    expect(account.tokens).toEqual({ prompt: 4, cached: 1, completion: 5 })
    expect(account.firstTokenMs).toBe(5)
    expect([account.isDisconnected, account.isFailed]).toEqual([false, false])
  })
  it('counts tokens that only its end names', async () => {
    const { service, gaps } = createObserved([start, delta(0, 1), end(0, 4)], {})
    await take(service.generate(request))
    expect(gaps.map(({ tokens }) => tokens)).toEqual([1, 3])
  })
  it('of several is counted each alone', async () => {
    const events = [start, delta(1, 1), delta(0, 1), delta(1, 2), end(1, 2), end(0, 1)]
    const { service, account, gaps, log } = createObserved(events, {})
    await take(service.generate(Object.assign({}, request, { copies: 2 })))
    expect(log).toEqual(['queue coder', 'queue coder'])
    expect(gaps.filter(({ isFirst }) => isFirst)).toHaveLength(2)
    // the prompt of both is read once
    expect(account.tokens).toEqual({ prompt: 4, cached: 1, completion: 3 })
  })
  it('is a disconnection where its reader leaves, and has what was written until then', async () => {
    const { service, account, answers } = createObserved([start, delta(0, 1), delta(0, 2)], {})
    await take(service.generate(request), 2)
    expect(account.isDisconnected).toBe(true)
    expect(answers).toMatchObject([{ reason: 'abort', usage: { promptTokens: 4 } }])
    expect(account.tokens.completion).toBe(1)
  })
  it('is a disconnection where the signal says so', async () => {
    const { service, account } = createObserved([start, delta(0, 1), delta(0, 2)], {})
    const controller = new AbortController()
    const stream = service.generate(request, controller.signal)
    await stream.next()
    controller.abort()
    await expect(take(stream)).rejects.toThrow('aborted')
    expect([account.isDisconnected, account.failure]).toEqual([true, undefined])
  })
  it('that is no longer read ends with its client, and at its time limit', async () => {
    const { service, account, log } = createObserved([start, delta(0, 1), delta(0, 2)], {})
    const controller = new AbortController()
    const stream = service.generate(request, controller.signal)
    await stream.next()
    account.release()
    controller.abort()
    expect(log).toEqual(['queue coder', 'end'])
    expect(account.isDisconnected).toBe(true)
    const slow = createObserved([start, delta(0, 1)], { maxSeconds: 0.01 })
    await slow.service.generate(request).next()
    slow.account.release()
    await expect.poll(() => slow.log).toEqual(['queue coder', 'end'])
    expect(slow.account.failure).toMatchObject({ status: 504 })
  })
  it('is a failure where the engine fails', async () => {
    const { service, account, answers } = createObserved([start, new TypeError('bug')], {})
    await expect(take(service.generate(request))).rejects.toThrow('bug')
    expect(account.isFailed).toBe(true)
    expect(answers).toMatchObject([{ reason: 'error' }])
  })
  it('keeps its request open until it ends', async () => {
    const { service, account, log } = createObserved([start, delta(0, 1), end(0, 1)], {})
    const stream = service.generate(request)
    await stream.next()
    account.release() // the response has begun
    expect(log).toEqual(['queue coder'])
    await take(stream)
    expect(log).toEqual(['queue coder', 'end'])
  })
})

describe('the bounds of an answer', () => {
  it.each([
    [undefined, undefined, undefined],
    [10, undefined, 10],
    [10, 64, 10],
    [10, 4, 4],
  ])('of %s tokens: %s asked, %s given', async (maxTokens, wanted, expected) => {
    const { service, asked } = createObserved([start, end(0, 1)], { maxTokens })
    await take(service.generate(Object.assign({}, request, { maxTokens: wanted })))
    expect(asked[0]!.maxTokens).toBe(expected)
  })
  it('refuse prompts that are too long, before the first event', async () => {
    const { service } = createObserved([start, delta(0, 1)], { maxPromptTokens: 3 })
    const error = await take(service.generate(request)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(RequestError)
    expect(error).toMatchObject({ status: 400, details: { n_prompt_tokens: 4, n_ctx: 3 } })
  })
  it('refuse too many answers', async () => {
    const { service, asked } = createObserved([start], { maxAnswers: 4 })
    const many = { prompts: ['a', 'b'], copies: 3, sampling: {}, stop: [] }
    await expect(take(service.generate(many))).rejects.toThrow('asks for 6 answers')
    expect(asked).toEqual([])
  })
  it('end what takes too long with 504', async () => {
    async function* generate(_: AnswerRequest, signal?: AbortSignal): AsyncGenerator<AnswerEvent> {
      yield start
      await new Promise((_resolve, reject) =>
        signal!.addEventListener('abort', () => reject(signal!.reason)),
      )
    }
    const { account } = createObserved([], {})
    const parts = { account, observer: {}, bounds: { maxSeconds: 0.02 } }
    const service = observeService({ generate } as unknown as Service, parts)
    const error = await take(service.generate(request)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ status: 504, code: 'answer_time_exceeded' })
    expect(account.isDisconnected).toBe(false)
  })
})

it('everything else is the service itself', async () => {
  const { service } = createObserved([], {})
  expect(await service.tokenize({ text: 'a', addSpecialTokens: true })).toEqual({})
})
