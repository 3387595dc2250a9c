// A server under many clients, in a process of its own: nothing is lost, and connections are cheap.
// Times are measured by `graft bench serve --http`.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  measureIdleConnections,
  measureHealth,
  runClosedLoop,
  runStreams,
} from '../../src/cli/bench/http/load-cases.ts'
import { startServe, type ServeProcess } from '../support/serve-process.ts'

const timeout = 120_000
const rows = 16
const limit = 64
let server: ServeProcess

beforeAll(async () => {
  const limits = ['--max-rows', String(rows), '--max-requests', String(limit)]
  server = await startServe({ args: ['--state', 'memory', '--log', 'off', ...limits] })
}, timeout)
afterAll(() => server.stop())

describe('a server with 16 rows', { timeout }, () => {
  it('answers 200 clients in a closed loop or refuses them with 429; none is lost', async () => {
    const each = 2
    const outcome = await runClosedLoop(server.url, { clients: 200, each, tokens: 12 })
    expect(outcome.lost).toEqual([])
    expect(outcome.answered).toBe(200 * each)
    expect(outcome.refused).toBeGreaterThan(0)
  })

  it('answers /healthz while rows are written, and every stream is whole', async () => {
    const prompts = Array.from({ length: 32 }, (_, i) => `Once ${i}`)
    const streams = runStreams(server.url, prompts, 48)
    const times = await measureHealth(server.url, streams)
    expect(times.length).toBeGreaterThan(3)
    expect(await streams).toHaveLength(32)
  })

  it('holds 1,000 idle connections in less than 50 MB', async () => {
    expect(await measureIdleConnections(server.url, 1000)).toBeLessThan(50e6)
  })
})
