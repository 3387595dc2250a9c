// Sends generated requests to a server over the embedded model, eight at a time, and says what went
// wrong: an answer of status 500 or more, a hang, a path of the server, a sequence that is left over.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { saveAdapter } from '../../../src/node/index.ts'
import { RequestError } from '../../../src/server/request-error.ts'
import { openOperatedServer } from '../operated-server.ts'
import { createNoisyExpert } from '../server.ts'
import { sendRequest } from './judge-response.ts'
import { createOddRequests, type OddRequest } from './odd-requests.ts'

export interface FuzzReport {
  readonly problems: readonly string[]
  /** How many answers had each status; 0: the client had gone, or could not send it. */
  readonly statuses: Readonly<Record<string, number>>
  readonly routes: number
  readonly seconds: number
}

const atATime = 8
const mostProblems = 20

/** Few tokens and answers, so that many requests are sent in a short time. */
const options = { maxTokens: 4, maxAnswers: 8, maxRequests: 100, maxSeconds: 60 }

export async function runFuzz(count: number, seed: number): Promise<FuzzReport> {
  const started = performance.now()
  const faults: string[] = []
  const folder = await mkdtemp(join(tmpdir(), 'graft-fuzz-'))
  const { model, engine, operations, server, failures, close } = await openOperatedServer({
    options,
    adapterFolder: folder,
    learns: true,
    onFault: (error, { req }) => {
      if (error instanceof RequestError) return // judged by its status
      faults.push(`${req.path}: ${error instanceof Error ? error.stack : String(error)}`)
    },
  })
  for (const [i, name] of ['coder', 'fresh'].entries())
    await saveAdapter(createNoisyExpert(model, i + 5), join(folder, name))
  const free = engine.stats().kv.blocks.free + engine.stats().kv.blocks.cached
  const problems: string[] = []
  const statuses: Record<string, number> = {}
  const requests = createOddRequests(server.routes, count, seed)
  const work = async (): Promise<void> => {
    for (const request of requests) {
      const sent = await sendRequest((given) => server.fetch(given), request)
      statuses[sent.status] = (statuses[sent.status] ?? 0) + 1
      for (const problem of sent.problems) problems.push(describeProblem(problem, request))
      if (problems.length >= mostProblems) return
    }
  }
  await Promise.all(Array.from({ length: atATime }, work))
  await operations.lifecycle.drain(10_000)
  problems.push(...[...faults, ...failures].slice(0, mostProblems))
  const { running, waiting, kv, experts } = engine.stats()
  const left = { running, waiting, leases: experts.leases, open: operations.lifecycle.openRequests }
  for (const [name, value] of Object.entries(left))
    if (value !== 0) problems.push(`${name} at the end: ${value}`)
  if (kv.blocks.free + kv.blocks.cached !== free)
    problems.push(`blocks at the end: ${kv.blocks.free + kv.blocks.cached}, at the start ${free}`)
  await close()
  await rm(folder, { recursive: true })
  const seconds = (performance.now() - started) / 1000
  return { problems, statuses, routes: server.routes.length, seconds }
}

function describeProblem(
  problem: string,
  { kind, method, path, headers, body }: OddRequest,
): string {
  const shown = typeof body === 'string' ? body.slice(0, 300) : `${body?.length ?? 0} bytes`
  return `${problem} | ${kind}: ${method} ${path.slice(0, 100)} ${JSON.stringify(headers).slice(0, 200)} ${shown}`
}
