import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { createServer, type ServerOptions } from './app.ts'
import { defineRoute } from './route.ts'
import { RequestError } from './request-error.ts'
import { integer, string } from '../base/schema.ts'
import type { Service } from './service.ts'

const echo = defineRoute({
  method: 'POST',
  path: '/echo/{name}',
  scope: 'infer',
  tag: 'test',
  summary: 'gives its body back',
  body: {
    fields: { count: integer({ from: 1 }), text: string() },
    required: ['count'],
    refused: { store: { reason: 'nothing is stored here', neutral: [false] } },
  },
  handle: async ({ body, parameters }) => Response.json({ body, parameters }),
})
const fail = defineRoute({
  method: 'GET',
  path: '/fail',
  scope: 'open',
  tag: 'test',
  summary: 'fails',
  async handle({ query }) {
    if (query.has('own')) throw new TypeError('secret of /srv/secret.ts')
    throw new OptionError('/srv/models/adapters/coder/adapter_config.json: is not JSON.')
  },
})

const serve = (options: Partial<ServerOptions> = {}) =>
  createServer({ service: {} as Service, routes: [echo, fail], ...options })

const ask = async (path: string, init: RequestInit = {}, options: Partial<ServerOptions> = {}) => {
  const response = await serve(options).fetch(new Request(`http://graft${path}`, init))
  const text = await response.text()
  return { response, status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}
const post = (body: unknown) => ask('/echo/a', { method: 'POST', body: JSON.stringify(body) })

describe('createServer', () => {
  it('hands body and path to the route; null counts as left out', async () => {
    const { body } = await post({ count: 2, text: null })
    expect(body).toEqual({ body: { count: 2 }, parameters: { name: 'a' } })
  })

  it.each([
    [{ count: 2, txt: 'a' }, 'txt', /no parameter "txt". Did you mean "text"\?/],
    [{ count: 0 }, 'count', /count: got 0, expected an integer ≥ 1/],
    [{}, 'count', /count is missing/],
    [{ count: 1, store: true }, 'store', /store: nothing is stored here/],
    [{ count: 1, __proto: 1 }, '__proto', /no parameter "__proto"/],
  ])('%j is 400 that names the parameter', async (given, param, message) => {
    const { status, body } = await post(given)
    expect(status).toBe(400)
    expect(body.error).toEqual({
      message: expect.stringMatching(message),
      type: 'invalid_request_error',
      param,
      code: 'invalid_value',
    })
  })

  it('takes the value of a refused field that asks for what happens anyway', async () => {
    expect((await post({ count: 1, store: false })).status).toBe(200)
  })

  it.each(['"text"', '[]', '42', 'null', '', '{"a":', '{"__proto__":{}}', '['.repeat(200)])(
    'row 15: the body %s is 400',
    async (text) => {
      const { status, body } = await ask('/echo/a', { method: 'POST', body: text })
      expect(status).toBe(400)
      expect(Object.keys(body.error)).toEqual(['message', 'type', 'param', 'code'])
    },
  )

  it('row 130: another method is 405 with Allow, an unknown path 404 in the same shape', async () => {
    const wrong = await ask('/echo/a')
    expect([wrong.status, wrong.response.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await ask('/echo/a', { method: 'HEAD' })).status).toBe(405)
    const unknown = await ask('/ecko/{name}')
    expect(unknown.status).toBe(404)
    expect(unknown.body.error.message).toContain('Did you mean /echo/{name}?')
  })
  it.each(['/', '/v1', '/v1/'])(
    '%s leads to the models, and to Studio where it is',
    async (path) => {
      const at = (known: string) => Object.assign({}, fail, { path: known })
      const messageOf = async (routes: NonNullable<ServerOptions['routes']>): Promise<string> =>
        (await ask(path, {}, { routes })).body.error.message as string
      const models = `There is no "${path}" here. GET /v1/models lists the models.`
      expect(await messageOf([at('/v1/models')])).toBe(models)
      expect(await messageOf([at('/v1/models'), at('/studio/')])).toBe(
        `${models} /studio/ is a page for browsers.`,
      )
    },
  )

  it.each([
    ['DELETE', '/v1/users/ada/export', 'GET, HEAD'],
    ['DELETE', '/v1/users/ada/forget', 'POST'],
    ['PUT', '/v1/experts/coder/pin', 'POST'],
    ['PUT', '/v1/experts/coder/stats', 'GET, HEAD'],
  ])('%s %s is no name that holds a slash: 405', async (method, path, allow) => {
    const { status, response } = await ask(path, { method, body: '{"path":"a"}' })
    expect([status, response.headers.get('allow')]).toEqual([405, allow])
  })

  it('row 118: errors hold no path of the server, and nothing of our own bugs', async () => {
    const known = await ask('/fail')
    expect(known.body.error.message).toBe('adapter_config.json: is not JSON.')
    const faults: unknown[] = []
    const own = await ask('/fail?own', {}, { onFault: (error) => void faults.push(error) })
    expect([own.status, own.response.headers.get('x-should-retry')]).toEqual([500, 'false'])
    expect(JSON.stringify(own.body)).not.toContain('secret')
    expect(faults).toHaveLength(1)
  })

  it('guards know the route and come before the body is read', async () => {
    const { status, response, body } = await ask(
      '/echo/a',
      { method: 'POST', body: 'not JSON' },
      {
        guards: [
          async (context) => {
            const error = { status: 503, retryAfter: 2.5 }
            throw new RequestError(`scope ${context.get('route')?.scope}`, error)
          },
        ],
      },
    )
    expect([status, body.error.message]).toEqual([503, 'scope infer'])
    expect(response.headers.get('retry-after')).toBe('3')
    expect(response.headers.get('x-should-retry')).toBeNull()
  })
})
