// Schemathesis over /openapi.json of a server with keys that learns: what it finds is in the file
// of expected failures, each with its reason, or a fault.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graft, scratchFolder } from '../support/cli.ts'
import { startServe, type ServeProcess } from '../support/serve-process.ts'
import { openPython } from './open-python.ts'

interface ExpectedFailure {
  readonly code: string
  readonly operation: string
  readonly reason: string
}

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const timeout = 1_200_000
const place = new URL('./python/schemathesis-expected.json', import.meta.url)
const expected = JSON.parse(readFileSync(place, 'utf8')) as ExpectedFailure[]
let server: ServeProcess
let key: string

beforeAll(async () => {
  const state = ['--state', at('state')]
  const scopes = ['--scopes', 'infer,feedback,train,admin']
  const made = await graft(['serve', 'keys', 'add', 'tester', ...scopes, ...state, '--json'])
  key = JSON.parse(made.stdout).key as string
  server = await startServe({ args: [...state, '--learn', '--log', 'off', '--max-tokens', '8'] })
}, timeout)
afterAll(async () => {
  await server.stop()
  await scratch.remove()
})

it('finds what is expected, and nothing else', { timeout }, async ({ skip }) => {
  const python = await openPython()
  if ('reason' in python) return skip(python.reason)
  const run = await python.run(
    'st',
    [
      ...['run', `${server.url}/openapi.json`, '--header', `Authorization: Bearer ${key}`],
      ...['--phases', 'examples,coverage,fuzzing', '--max-examples', '30', '--seed', '1'],
      ...['--continue-on-failure', '--request-timeout', '60', '--suppress-health-check', 'all'],
      ...['--report', 'json', '--report-json-path', at('report.json')],
    ],
    { cwd: scratch.path },
  )
  const report = JSON.parse(readFileSync(at('report.json'), 'utf8'))
  const said = `${server.output()}\n${run.output.slice(0, 20_000)}`
  expect([report.complete, report.errors, server.child.signalCode], said).toEqual([true, [], null])
  const found = report.failures.flatMap(
    ({ code, title, operations }: { code: string; title: string; operations: string[] }) =>
      operations.map((operation) => ({ code, operation, title })),
  )
  const unexpected = found.filter(
    (one: { code: string; operation: string }) =>
      !expected.some(({ code, operation }) => code === one.code && operation === one.operation),
  )
  expect(unexpected, said).toEqual([])
  const description = await (
    await fetch(`${server.url}/openapi.json`, { headers: { authorization: `Bearer ${key}` } })
  ).json()
  const { paths } = description as { readonly paths: Readonly<Record<string, object>> }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  for (const { operation, reason } of expected) {
    expect(operations).toContain(operation)
    expect(reason.length).toBeGreaterThan(20)
  }
})
