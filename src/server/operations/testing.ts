// For tests: a server with all of its operation around a service that writes made-up tokens.

import { integer, string } from '../../base/schema.ts'
import { createServer } from '../app.ts'
import { createMemoryState } from '../state/memory-state.ts'
import { RequestError } from '../request-error.ts'
import { defineRoute, type RouteScope } from '../route.ts'
import type { AnswerEvent, AnswerRequest, ServedBase, Service } from '../service.ts'
import { createOperations, type OperationParts } from './operations.ts'
import type { OperationOptions } from './options.ts'

export const testBase: ServedBase = {
  name: 'tiny',
  aliases: [],
  contextTokens: 512,
  vocabularySize: 512,
  maxRows: 4,
  openedAt: 0,
  chatTemplate: '',
  specialTokens: {},
}

const statistics = {
  running: 2,
  waiting: 1,
  preemptions: 3,
  readTokens: 30,
  writtenTokens: 12,
  sizes: { counts: [2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], steps: 4 },
  kv: { blocks: { capacity: 100, used: 25 } },
  experts: { slotBytes: 1000, budgetBytes: 5000 },
}

/** Answers with `maxTokens` tokens, each after a turn of the event loop. */
export function createTestService(experts: readonly string[] = ['coder']): Service {
  async function* generate(
    request: AnswerRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<AnswerEvent, void> {
    const { model = '', maxTokens = 3 } = request
    const expert = model === '' || model === testBase.name ? undefined : model
    yield { type: 'start', expert, model, promptTokens: [5], promptTexts: [], seed: 0 }
    for (let token = 1; token <= maxTokens; token++) {
      await new Promise<void>((resolve) => setTimeout(resolve))
      signal?.throwIfAborted()
      yield { type: 'delta', index: 0, text: 'x', completionTokens: token }
    }
    const counts = { promptTokens: 5, cachedTokens: 2, reasoningTokens: 0 }
    const usage = Object.assign({ completionTokens: maxTokens }, counts)
    const times = { promptMs: 1, decodeMs: 2 }
    yield { type: 'end', index: 0, reason: 'length', ids: [], usage, times }
  }
  const listed = experts.map((name) => ({ name, isPinned: name === 'pinned' }))
  return {
    generate,
    stats: async () => statistics,
    listExperts: async () => listed,
  } as unknown as Service
}

const createTestRoute = (path: string, scope: RouteScope) =>
  defineRoute({
    method: 'POST',
    path,
    scope,
    tag: 'test',
    summary: 'answers',
    body: {
      fields: {
        model: string(),
        user: string(),
        prompt: string(),
        max_tokens: integer({ from: 1 }),
        fail: string(),
      },
      required: [],
    },
    handle: async ({ service, body, signal }) => {
      if (body.fail === 'own') throw new TypeError('a bug at /srv/graft/secret.ts')
      if (body.fail !== undefined) throw new RequestError(`The prompt ${body.prompt} is bad.`)
      const { model, max_tokens: maxTokens } = body
      const request = { model, maxTokens, prompts: [''], copies: 1, sampling: {}, stop: [] }
      const gone = new AbortController()
      const events = service.generate(request, AbortSignal.any([signal, gone.signal]))
      await events.next() // errors come before the first byte
      return new Response(
        new ReadableStream({
          async pull(controller) {
            const { value, done } = await events.next()
            if (done) controller.close()
            else if (value.type === 'delta') controller.enqueue(new TextEncoder().encode('x'))
            else await this.pull!(controller)
          },
          async cancel() {
            gone.abort()
            await events.return().catch(() => undefined)
          },
        }),
      )
    },
  })

export const testRoutes = [
  createTestRoute('/v1/infer', 'infer'),
  createTestRoute('/v1/feedback-test', 'feedback'),
  createTestRoute('/v1/train-test', 'train'),
  createTestRoute('/v1/admin-test', 'admin'),
  createTestRoute('/v1/users/{id}', 'infer'),
]

export function createTestServer(
  options: OperationOptions = {},
  parts: Partial<OperationParts> = {},
) {
  const clock = { ms: Date.UTC(2026, 10, 30, 12) }
  const failures: string[] = []
  const state = parts.state ?? createMemoryState()
  const service = parts.service ?? createTestService()
  const operations = createOperations(
    {
      service,
      base: testBase,
      state,
      clock: { now: () => clock.ms, tick: () => clock.ms },
      random: (count) => crypto.getRandomValues(new Uint8Array(count)),
      onFailure: (what) => failures.push(what),
      ...parts,
    },
    { keyless: 'anyone', ...options },
  )
  const { middleware, guards, routes, maxBodyBytes, onFault } = operations
  const server = createServer({
    service,
    middleware,
    guards,
    maxBodyBytes,
    onFault,
    routes: [...testRoutes, ...routes],
  })
  const ask = async (
    path: string,
    init: RequestInit & { key?: string } = {},
  ): Promise<{ status: number; headers: Headers; text: string; error: TestError }> => {
    const { key, ...rest } = init
    const headers = new Headers(rest.headers)
    if (key !== undefined) headers.set('authorization', `Bearer ${key}`)
    const request = new Request(
      path.startsWith('http') ? path : `http://localhost:8080${path}`,
      Object.assign({}, rest, { headers }),
    )
    const response = await server.fetch(request)
    const text = await response.text()
    const error = response.status >= 400 && text ? JSON.parse(text).error : undefined
    return { status: response.status, headers: response.headers, text, error }
  }
  const infer = (body: object = {}, key?: string) =>
    ask('/v1/infer', {
      method: 'POST',
      body: JSON.stringify(body),
      ...(key !== undefined && { key }),
    })
  return { server, operations, state, clock, failures, ask, infer }
}

interface TestError {
  readonly message: string
  readonly type: string
  readonly param: string | null
  readonly code: string
}
