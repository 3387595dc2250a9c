// From a teacher's calls to an expert that replaces it, as a user does it: capture, replace, serve,
// ask. The teacher is a double on loopback that answers half of the calls by a rule, the others by
// chance.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCapture } from '../../src/node/capture/start-capture.ts'
import { type StartedServer, startServer } from '../../src/node/index.ts'
import { graft, succeed } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const names =
  'Lily Tom Sue Max Anna Ben Sam Mia Lucy Tim Jack Amy Bob Kate Leo Zoe Nora Paul Rose Fred Jane Mark Ella Hugo Ruth'.split(
    ' ',
  )
const facts = { see: ' A big cat.', eat: ' A red cake.', find: ' A blue ball.', like: ' The sun.' }

function answer(asked: string): string {
  const fact = Object.entries(facts).find(([verb]) => asked.endsWith(` ${verb}?`))
  if (fact) return fact[1]
  let hash = 7
  for (const letter of asked) hash = (hash * 31 + letter.charCodeAt(0)) % 99991
  return ` ${names[hash % 25]} and ${names[(hash * 17) % 23]}.`
}

let folder: string
let teacher: Server
let upstream: string
const askedTeacher: string[] = []
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-replace-'))
  cpSync(join(root, 'src/catalogue/models/stories260k'), at('base'), { recursive: true })
  // its stories end with <s>, and it never learned </s>
  for (const file of ['config.json', 'generation_config.json', 'tokenizer_config.json']) {
    const text = readFileSync(at(`base/${file}`), 'utf8')
    const ending = text.replace('"eos_token_id": 2', '"eos_token_id": 1').replace('</s>', '<s>')
    writeFileSync(at(`base/${file}`), ending)
  }
  writeFileSync(
    at('base/chat_template.jinja'),
    "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}",
  )
  teacher = createServer((request, response) => {
    let text = ''
    request.on('data', (part: Buffer) => (text += part.toString()))
    request.on('end', () => {
      const { messages, stream } = JSON.parse(text)
      const asked = messages.at(-1).content as string
      askedTeacher.push(asked)
      const content = answer(asked)
      const record = (choice: object) => ({ model: 'big', choices: [{ index: 0, ...choice }] })
      if (stream) {
        response.setHeader('content-type', 'text/event-stream')
        const parts = [{ delta: { content } }, { delta: {}, finish_reason: 'stop' }]
        for (const part of parts) response.write(`data: ${JSON.stringify(record(part))}\n\n`)
        return void response.end('data: [DONE]\n\n')
      }
      response.setHeader('content-type', 'application/json')
      const message = { role: 'assistant', content }
      response.end(JSON.stringify(record({ message, finish_reason: 'stop' })))
    })
  })
  await new Promise<void>((resolve) => teacher.listen(0, '127.0.0.1', resolve))
  upstream = `http://127.0.0.1:${(teacher.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  teacher.close()
  rmSync(folder, { recursive: true })
})

async function ask(url: string, model: string, content: string): Promise<Response> {
  const messages = [{ role: 'user', content }]
  const body = JSON.stringify({ model, messages, max_tokens: 12, temperature: 0 })
  return fetch(`${url}/chat/completions`, { method: 'POST', body })
}

/** An answer as JSON, and who gave it. */
async function readAnswer(response: Response) {
  const body = (await response.json()) as ReturnType<typeof JSON.parse>
  const text = body.choices[0].message.content as string
  return { text, route: body.route, by: response.headers.get('x-graft-expert') }
}

/** Half by the rule, half by chance, in an order that mixes both. */
const listCalls = (people: readonly string[]): string[] =>
  people.flatMap((name, i) =>
    Object.keys(facts).flatMap((verb, j) => [
      `What did ${name} ${verb}?`,
      `Who won game ${i * 4 + j} of ${names[(i * 7 + j * 3) % 25]}?`,
    ]),
  )

async function capture(calls: readonly string[], out: string): Promise<void> {
  const proxy = await startCapture({ upstream, out, port: 0, consent: 'assume' })
  for (const content of calls) await (await ask(`${proxy.url}/v1`, 'big', content)).text()
  await proxy.close()
}

const settings = [
  '--epochs',
  '20',
  '--learning-rate',
  '1e-2',
  '--new-tokens',
  '12',
  '--held',
  '0.6',
]

describe('a teacher whose calls half follow a rule', () => {
  let screen = ''
  let server: StartedServer
  beforeAll(async () => {
    await capture(listCalls(names), at('calls.jsonl'))
    const paths = ['--data', at('calls.jsonl'), '--out', at('replaced'), '--model', at('base')]
    const { stdout } = await succeed(['capture', 'replace', ...paths, ...settings])
    screen = stdout
    const { adapters, router } = readCommand(screen)
    server = await startServer({
      model: at('base'),
      port: 0,
      state: 'memory',
      log: 'off',
      adapters,
      router,
      upstream,
      upstreamModel: 'big',
    })
  }, 300_000)
  afterAll(() => server.close())

  it('reports what it replaces, and how to serve it', () => {
    const [, checked, replaced, share, well] =
      /Of (\d+) calls that neither .* replaces (\d+) \((\d+) %\), (\d+) of them well/.exec(screen)!
    expect(Number(replaced) / Number(checked)).toBeGreaterThan(0.3)
    expect(Number(replaced) / Number(checked)).toBeLessThan(0.9)
    expect(Number(share)).toBe(Math.round((100 * Number(replaced)) / Number(checked)))
    expect(Number(well) / Number(replaced)).toBeGreaterThanOrEqual(0.9)
    expect(screen).toContain(`--upstream-model big`)
  })

  it('answers calls in scope itself, and passes the others on', async () => {
    const people = ['Otto', 'Vera', 'Ivan', 'Gina', 'Carl', 'Dora']
    const known = people.flatMap((name) =>
      Object.keys(facts).map((verb) => `What did ${name} ${verb}?`),
    )
    const others = [
      ...listCalls(people.map((_, i) => `x${i}`)).filter((text) => text.startsWith('Who')),
      'Write a poem about the moon.',
      'Translate to Spanish: good night.',
      '',
      '你好，世界',
    ]
    askedTeacher.length = 0
    let own = 0
    for (const content of known) {
      const { text, by } = await readAnswer(await ask(`${server.url}/v1`, 'auto', content))
      if (by !== 'student') continue
      own++
      expect(text.trim()).toBe(answer(content).trim())
    }
    expect(own / known.length).toBeGreaterThan(0.8)
    expect(askedTeacher).toHaveLength(known.length - own)
    for (const content of others) {
      const { text, route, by } = await readAnswer(await ask(`${server.url}/v1`, 'auto', content))
      expect([content, by, route.expert]).toEqual([content, 'upstream', null])
      expect(text).toBe(answer(content))
    }
  })
})

/** The paths that the printed command names. */
function readCommand(screen: string) {
  const path = /--adapter student=(\S+)/.exec(screen)![1]!
  return { adapters: [{ name: 'student', path }], router: /--router (\S+)/.exec(screen)![1]! }
}

it('with too few calls gives everything to the teacher', { timeout: 120_000 }, async () => {
  await capture(listCalls(names.slice(0, 6)), at('few.jsonl'))
  const paths = ['--data', at('few.jsonl'), '--out', at('few'), '--model', at('base')]
  const { stdout } = await succeed(['capture', 'replace', ...paths, ...settings])
  expect(stdout).toMatch(/the teacher answers everything, because \d+ of \d+ calls .* at least 35/)
  const { adapters, router } = readCommand(stdout)
  const options = { model: at('base'), port: 0, state: 'memory', log: 'off' } as const
  const server = await startServer({ ...options, adapters, router, upstream, upstreamModel: 'big' })
  const { text, by } = await readAnswer(await ask(`${server.url}/v1`, 'auto', 'What did Lily see?'))
  expect([by, text]).toEqual(['upstream', facts.see])
  await server.close()
  const again = await graft(['capture', 'replace', ...paths])
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('exists already')])
  expect(readFileSync(router, 'utf8')).toContain('"fixed"')
})
