// Answers that are held to a form. Numbers: the list of behaviours that the server is built to.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, openTestServer, type TestServer } from '../support/server.ts'

const messages = [{ role: 'user', content: 'Say it.' }]

let server: TestServer
beforeAll(async () => {
  server = await openTestServer()
})
afterAll(() => server.close())

const chat = (body: object) => ask(server, '/v1/chat/completions', { messages, ...body })
const textOf = async (body: object): Promise<string> =>
  (await chat(body)).body.choices[0].message.content
const schema = (of: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: of } },
})

describe('a form of the answer', () => {
  it('41: json_object gives objects', async () => {
    const asked = { response_format: { type: 'json_object' }, max_tokens: 60, n: 12, seed: 3 }
    const { choices } = (await chat(asked)).body
    const texts: string[] = choices.map(
      (one: { message: { content: string } }) => one.message.content,
    )
    expect(texts.filter((text) => !text.startsWith('{'))).toEqual([])
    const whole = texts.filter((_, i) => choices[i].finish_reason === 'stop')
    expect(whole.length).toBeGreaterThan(0)
    expect(whole.map((text) => typeof JSON.parse(text)).every((type) => type === 'object')).toBe(
      true,
    )
  })

  it('42: a schema is held to exactly', async () => {
    expect(await textOf(schema({ const: 'foooooo' }))).toBe('"foooooo"')
    const list = { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 }
    const read = JSON.parse(await textOf({ ...schema(list), max_tokens: 200 })) as unknown[]
    expect(read.every(Number.isInteger)).toBe(true)
  })

  it('45: many samples at a temperature fit; what is cut ends by length', async () => {
    const of = { enum: ['red', 'green', 'blue'] }
    const { body } = await chat({ ...schema(of), n: 8, temperature: 1.5, seed: 1 })
    for (const { message, finish_reason: reason } of body.choices) {
      expect(of.enum).toContain(JSON.parse(message.content))
      expect(reason).toBe('stop')
    }
    const cut = await chat({ ...schema({ const: 'a long word' }), max_tokens: 2 })
    expect(cut.body.choices[0].finish_reason).toBe('length')
    expect('"a long word"'.startsWith(cut.body.choices[0].message.content)).toBe(true)
  })

  it('46: grammars and patterns in the words of llama.cpp and vLLM', async () => {
    expect(await textOf({ grammar: 'root ::= "a"{5,5}' })).toBe('aaaaa')
    expect(await textOf({ structured_outputs: { regex: '(ab){3}' } })).toBe('ababab')
    expect(['yes', 'no']).toContain(await textOf({ structured_outputs: { choice: ['yes', 'no'] } }))
    const { body } = await ask(server, '/completion', { prompt: 'x', json_schema: { const: 5 } })
    expect(body.content).toBe('5')
  })

  it.each([
    [schema({ type: 123 }), /type/, 'response_format.json_schema.schema'],
    [schema({ type: 'hiccup' }), /hiccup/, 'response_format.json_schema.schema'],
    [
      schema({ type: 'object', properties: { a: { type: 'hiccup' } } }),
      /#\/properties\/a\/type: got/,
      'response_format.json_schema.schema',
    ],
    [{ grammar: 'root ::= (' }, /line 1/, 'grammar'],
    [{ structured_outputs: { regex: '(' } }, /character/, 'structured_outputs.regex'],
    [{ grammar: 'root ::= "a"', response_format: { type: 'json_object' } }, /already/, 'grammar'],
  ] as [object, RegExp, string][])(
    '43, 44: case %# is 400 with the place, streamed or not',
    async (body, message, param) => {
      for (const stream of [false, true]) {
        const { status, body: answer } = await chat({ ...body, stream })
        expect(status).toBe(400)
        expect(answer.error.message).toMatch(message)
        expect(answer.error.param).toBe(param)
      }
    },
  )
})
