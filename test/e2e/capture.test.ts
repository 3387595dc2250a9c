// graft capture as a user starts it, between a client and a teacher: it writes rows that train
// reads.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graft } from '../support/cli.ts'
import { root } from '../support/sources.ts'

let folder: string
let teacher: Server
let child: ChildProcess
let url: string
let screen = ''
let exited: Promise<number | null>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-capture-'))
  // a process that was killed
  writeFileSync(join(folder, 'calls.jsonl'), '{"messages": [], "cut": ')
  teacher = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json')
      const message = { role: 'assistant', content: 'The answer for ann@example.org.' }
      response.end(JSON.stringify({ model: 't', choices: [{ message, finish_reason: 'stop' }] }))
    })
  })
  await new Promise<void>((resolve) => teacher.listen(0, '127.0.0.1', resolve))
  const upstream = `http://127.0.0.1:${(teacher.address() as AddressInfo).port}/v1`
  const args = [
    'capture',
    '--upstream',
    upstream,
    '--out',
    join(folder, 'calls.jsonl'),
    '--port',
    '0',
  ]
  child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), ...args], {
    env: { ...process.env, NO_COLOR: '1' },
  })
  exited = new Promise((resolve) => child.once('exit', resolve))
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`graft capture ended with ${code}: ${screen}`)))
    child.stderr!.on('data', (part: Buffer) => (screen += String(part)))
    child.stdout!.on('data', (part: Buffer) => {
      screen += String(part)
      if (screen.includes('Ctrl-C stops it')) resolve()
    })
  })
  url = /http:\/\/127\.0\.0\.1:\d+\/v1/.exec(screen)![0]
})
afterAll(() => {
  child.kill('SIGKILL')
  teacher.close()
  rmSync(folder, { recursive: true })
})

const question = JSON.stringify({ messages: [{ role: 'user', content: 'Who?' }] })
const ask = (headers: Record<string, string>, body = question): Promise<Response> =>
  fetch(`${url}/chat/completions`, { method: 'POST', headers, body })

it('keeps calls with consent as rows that graft data reads, and reports what it left out', async () => {
  expect(await (await ask({ 'x-graft-consent': 'yes' })).text()).toContain('ann@example.org')
  expect((await ask({})).status).toBe(200)
  const nested = `"tools": ${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const deep = question.replace('{', `{${nested}, `)
  expect(await (await ask({ 'x-graft-consent': 'yes' }, deep)).text()).toContain('ann@example.org')
  child.kill('SIGINT')
  expect(await exited).toBe(0)
  expect(screen).toContain('1 row added to')
  expect(screen).toContain('1 left out: no consent')
  expect(screen).toContain('1 left out: messages, tools or the answer are nested deeper than 100')
  const path = join(folder, 'calls.jsonl')
  const [cut, row, end] = readFileSync(path, 'utf8').split('\n')
  expect([cut, end]).toEqual(['{"messages": [], "cut": ', ''])
  expect(JSON.parse(row!)).toMatchObject({
    messages: [
      { role: 'user', content: 'Who?' },
      { role: 'assistant', content: 'The answer for [email].' },
    ],
  })
  expect(statSync(path).mode & 0o077).toBe(statSync(path).mode & 0o044) // it was there before
  writeFileSync(path, `${row}\n`)
  const check = await graft(['data', 'check', path, '--json'])
  expect([check.code, check.stderr]).toEqual([0, ''])
})

it.each([
  [['--upstream', 'file://ada:secret@etc/'], 'upstream: got an address with a user or a query'],
  [['--upstream', 'http://a.example/v1', '--redact', 'mails'], 'Did you mean emails?'],
  [['--upstream', 'http://a.example/v1', '--redact-pattern', 'x=('], 'redact-pattern: x:'],
])('refuses %j', async (args, message) => {
  const result = await graft(['capture', ...args, '--out', join(folder, 'never.jsonl')])
  expect([result.code, result.stderr]).toEqual([1, expect.stringContaining(message)])
  expect(() => statSync(join(folder, 'never.jsonl'))).toThrow('ENOENT')
})

it('refuses to replace too few calls, and leaves no folder', async () => {
  const [data, out] = [join(folder, 'few.jsonl'), join(folder, 'replaced')]
  writeFileSync(data, '{"prompt": "a", "completion": "b"}\n'.repeat(3))
  const args = ['capture', 'replace', '--data', data, '--out', out, '--model', 'stories260k']
  const { code, stderr } = await graft(args)
  expect([code, stderr]).toEqual([1, expect.stringMatching(/3 calls are too few .*\n$/)])
  expect(() => statSync(out)).toThrow('ENOENT')
})
