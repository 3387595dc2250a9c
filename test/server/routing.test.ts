// The model "auto": a router chooses, the response says who answered and why, and the upstream
// answers what the router is not sure of.
import { createServer as createHttp, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError, MismatchError } from '../../src/base/errors.ts'
import { createRouter, loadModel, saveAdapter, startServer } from '../../src/node/index.ts'
import { readRouteLog } from '../../src/route/log/route-log.ts'
import type { Router, RouteFeedback, RouteRequest } from '../../src/route/router.ts'
import { createServer } from '../../src/server/app.ts'
import { createRoutedService, type RoutingOptions } from '../../src/server/routing/route-service.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

const rules = [
  { expert: 'coder', terms: ['function'] },
  { expert: 'poet', terms: ['poem'] },
  { expert: 'ghost', terms: ['boo'] },
]
const experts = ['coder', 'poet', 'ghost'].map((name) => ({ name }))
const openRouter = (): Promise<Router> =>
  createRouter({ kind: 'keyword', experts, options: { rules } })

/** Answers as OpenAI streams them, and keeps what it was asked. */
function startUpstream() {
  const asked: { body: Record<string, unknown>; key: string | undefined }[] = []
  const server = createHttp((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      asked.push({ body: JSON.parse(text), key: request.headers.authorization })
      if (text.includes('fail')) {
        response.writeHead(500).end('no room')
        return
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const send = (record: object): void =>
        void response.write(`data: ${JSON.stringify(record)}\n\n`)
      send({ model: 'big', choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] })
      for (const content of ['From ', 'above'])
        send({ model: 'big', choices: [{ index: 0, delta: { content } }] })
      send({ model: 'big', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      send({ model: 'big', choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } })
      response.end('data: [DONE]\n\n')
    })
  })
  return new Promise<{ server: HttpServer; url: string; asked: typeof asked }>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      resolve({ server, url: `http://127.0.0.1:${port}/v1/`, asked })
    })
  })
}

describe('a server with a router', () => {
  let opened: TestServer
  let upstream: Awaited<ReturnType<typeof startUpstream>>
  let lines: string[] = []
  const learned: RouteFeedback[] = []

  const openRouted = async (more: Partial<RoutingOptions> = {}) => {
    const router = Object.assign(await openRouter(), {
      learn: (feedback: RouteFeedback) => void learned.push(feedback),
    })
    const service = createRoutedService(opened.service, {
      router,
      logsPrompts: true,
      learns: false,
      now: () => 0,
      createId: () => 'own',
      writeRow: (line) => void lines.push(line),
      ...more,
    })
    return { server: createServer({ service }) }
  }
  const chat = (content: string, more: object = {}) => ({
    model: 'auto',
    messages: [{ role: 'user', content }],
    max_tokens: 4,
    temperature: 0,
    ...more,
  })

  beforeAll(async () => {
    const model = await loadModel('stories260k')
    const adapters = ['coder', 'poet'].map((name, i) => ({
      name,
      expert: createNoisyExpert(model, i + 1),
    }))
    await model.dispose()
    opened = await openTestServer({ experts: adapters, chatTemplate: '{{ messages[-1].content }}' })
    upstream = await startUpstream()
  })
  afterAll(async () => {
    upstream.server.close()
    await opened.close()
  })

  it('tells the router what is in memory, and who loads ahead which expert answers', async () => {
    const asked: RouteRequest[] = []
    const noted: unknown[] = []
    const router = await openRouter()
    const decide = router.decide.bind(router)
    const watched = Object.assign(router, {
      decide: (request: RouteRequest) => (asked.push(request), decide(request)),
    })
    const preloader = { note: async (...given: unknown[]) => void noted.push(given) }
    const listResident = () => ['coder']
    const routed = await openRouted({ router: watched, preloader, listResident })
    const user = { user: 'ann' }
    await ask(routed, '/v1/chat/completions', chat('write a poem', user))
    await ask(routed, '/v1/chat/completions', chat('hello there', user))
    expect(asked.map(({ resident }) => resident)).toEqual([['coder'], ['coder']])
    expect(noted).toEqual([
      ['ann', 'poet'],
      ['ann', undefined],
    ])
  })

  it('answers by the expert that fits, and reports it in the body and in headers', async () => {
    const routed = await openRouted()
    const { body, headers } = await ask(routed, '/v1/chat/completions', chat('write a poem'))
    expect(body.model).toBe('poet')
    expect(body.route).toMatchObject({ expert: 'poet', by: 'keyword' })
    expect(body.route.reason).toMatch(/^poet at .* because it contains "poem"/)
    expect(headers.get('x-graft-expert')).toBe('poet')
    expect(Number(headers.get('x-graft-confidence'))).toBe(body.route.confidence)
    expect(headers.get('x-graft-reason')).toBe(body.route.reason)
    const direct = chat('write a poem', { model: 'poet' })
    const own = await ask(routed, '/v1/chat/completions', direct)
    expect(own.body.choices[0].message).toEqual(body.choices[0].message)
    expect([own.body.route, own.headers.get('x-graft-expert')]).toEqual([undefined, null])
  })
  it('reports it in streams too, and for plain prompts', async () => {
    const routed = await openRouted()
    const stream = await ask(routed, '/v1/chat/completions', chat('a function', { stream: true }))
    expect(stream.headers.get('x-graft-expert')).toBe('coder')
    const first = JSON.parse(stream.body.split('\n')[0].slice(5))
    expect([first.model, first.route.expert]).toEqual(['coder', 'coder'])
    const plain = { model: 'auto', prompt: 'A poem about', max_tokens: 2 }
    const { body } = await ask(routed, '/v1/completions', plain)
    expect([body.model, body.route.expert]).toEqual(['poet', 'poet'])
  })
  it('gives the base, with the reason, where no expert fits or the chosen one is not loaded', async () => {
    const routed = await openRouted()
    const none = await ask(routed, '/v1/chat/completions', chat('Hello'))
    expect(none.body.route).toMatchObject({ expert: null, confidence: 0 })
    expect(none.headers.get('x-graft-expert')).toBe('base')
    const absent = await ask(routed, '/v1/chat/completions', chat('boo'))
    expect(absent.body.route.reason).toMatch(/the expert ghost was chosen and is not loaded/)
    expect(absent.body.model).toBe('stories260k')
  })
  it('refuses several prompts for one decision, and knows no "auto" without a router', async () => {
    const routed = await openRouted()
    const many = { model: 'auto', prompt: ['a', 'b'], max_tokens: 2 }
    expect((await ask(routed, '/v1/completions', many)).status).toBe(400)
    expect((await ask(opened, '/v1/chat/completions', chat('Hello'))).status).toBe(404)
  })
  it('lists the model "auto"', async () => {
    const ids = async (server: Pick<TestServer, 'server'>) =>
      (await ask(server, '/v1/models')).body.data.map(({ id }: { id: string }) => id)
    expect(await ids(await openRouted())).toContain('auto')
    expect(await ids(opened)).not.toContain('auto')
  })
  it('asks the upstream below the second threshold, and reports it', async () => {
    const at = { url: upstream.url, model: 'big-model', key: 'secret' }
    const routed = await openRouted({ upstream: at, escalateBelow: 0.4 })
    const { body, headers } = await ask(routed, '/v1/chat/completions', chat('Hello'))
    expect(body.choices[0].message.content).toBe('From above')
    expect(body.choices[0].finish_reason).toBe('stop')
    expect(body.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 2 })
    expect([body.model, body.route.expert]).toEqual(['big', null])
    expect(body.route.upstream).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(headers.get('x-graft-expert')).toBe('upstream')
    expect(upstream.asked.at(-1)).toMatchObject({
      key: 'Bearer secret',
      body: { model: 'big-model', max_tokens: 4, messages: [{ role: 'user', content: 'Hello' }] },
    })
    const sure = await ask(routed, '/v1/chat/completions', chat('a poem'))
    expect(sure.body.route.upstream).toBeUndefined()
  })
  it('asks the upstream for what no expert answers, where the base answers nothing', async () => {
    const at = { url: upstream.url, model: 'big-model' }
    const routed = await openRouted({ upstream: at, escalateBelow: 0, baseAnswers: false })
    for (const content of ['Hello', 'boo']) {
      const { body, headers } = await ask(routed, '/v1/chat/completions', chat(content))
      expect([content, headers.get('x-graft-expert')]).toEqual([content, 'upstream'])
      expect(body.route.reason).toContain('no expert that is loaded was chosen')
    }
    const known = await ask(routed, '/v1/chat/completions', chat('a poem'))
    expect(known.headers.get('x-graft-expert')).toBe('poet')
  })
  it('answers itself where the upstream does not, and reports that', async () => {
    const at = { url: upstream.url, model: 'big-model' }
    const routed = await openRouted({ upstream: at, escalateBelow: 0.4 })
    const { body, status } = await ask(routed, '/v1/chat/completions', chat('please fail'))
    expect([status, body.model]).toEqual([200, 'stories260k'])
    expect(body.route.reason).toMatch(/upstream .* did not answer: status 500, no room/)
  })
  it('logs decisions and rewards, which the router learns from', async () => {
    lines = []
    const routed = await openRouted()
    const { body } = await ask(routed, '/v1/chat/completions', chat('a poem'))
    const given = await ask(routed, '/v1/feedback', { id: body.id, feedback: 'up' })
    expect(given.body).toMatchObject({ expert: 'poet', reward: 1 })
    const [row] = readRouteLog(lines.join(''), 'log')
    expect(row).toMatchObject({ id: body.id, text: 'a poem', choice: 'poet', reward: 1 })
    expect(learned.at(-1)).toMatchObject({ reward: 1, decision: { expert: 'poet' } })
    expect((await ask(routed, '/v1/feedback', { id: 'other', feedback: 'up' })).status).toBe(400)
    lines = []
    const silent = await openRouted({ logsPrompts: false })
    await ask(silent, '/v1/chat/completions', chat('a poem'))
    expect(lines.join('')).not.toContain('a poem",')
  })
})

describe('startServer', () => {
  const folder = mkdtempSync(join(tmpdir(), 'graft-routing-'))
  const at = (name: string): string => join(folder, name)
  const settings = { model: 'stories260k', port: 0, state: 'memory', log: 'off' } as const
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  beforeAll(async () => {
    const model = await loadModel('stories260k')
    for (const [i, name] of ['coder', 'poet'].entries())
      await saveAdapter(createNoisyExpert(model, i + 1), at(name))
    await model.dispose()
    const router = await createRouter({
      kind: 'keyword',
      experts: experts.slice(0, 2),
      options: { rules: rules.slice(0, 2) },
    })
    writeFileSync(at('router.json'), JSON.stringify(router.save()))
  })
  const adapters = () => ['coder', 'poet'].map((name) => ({ name, path: at(name) }))

  it('routes in the worker, and logs into a file', async () => {
    const router = at('router.json')
    const server = await startServer({
      ...settings,
      adapters: adapters(),
      router,
      routeLog: at('log.jsonl'),
      routeLogPrompts: true,
    })
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'auto', prompt: 'A function', max_tokens: 2 }),
    })
    expect(response.headers.get('x-graft-expert')).toBe('coder')
    await server.close()
    const [row] = readRouteLog(readFileSync(at('log.jsonl'), 'utf8'), 'log')
    expect(row).toMatchObject({ text: 'A function', choice: 'coder', propensity: 1 })
  })
  it('refuses a router of other experts, parts without a router, and an upstream without a model', async () => {
    const router = at('router.json')
    const start = (more: object) =>
      startServer(Object.assign({ isolation: 'none' as const }, settings, more))
    await expect(start({ router, adapters: adapters().slice(1) })).rejects.toThrow(MismatchError)
    await expect(start({ router, adapters: adapters().slice(1) })).rejects.toThrow(/coder/)
    await expect(start({ routeLog: at('x') })).rejects.toThrow(/routeLog is for a router/)
    const upstream = 'http://127.0.0.1:1/v1'
    await expect(start({ router, upstream })).rejects.toThrow(/upstreamModel is missing/)
    await expect(start({ router, upstream: 'here', upstreamModel: 'm' })).rejects.toThrow(
      OptionError,
    )
    const unsaid = { router, upstream, upstreamModel: 'm', adapters: adapters() }
    await expect(start(unsaid)).rejects.toThrow(/without the confidence below which/)
    await expect(start({ router: at('none.json') })).rejects.toThrow(/no such router/)
  })
})
