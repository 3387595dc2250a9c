// Loads for a server at an address: concurrent streams, probes of its health meanwhile, clients in
// a closed loop, idle connections. Independent of what they are compared with.

import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { createClientAgent, requestTimed, type TimedResponse } from './http-client.ts'

/** Every record of a stream whose JSON is not the end. */
const countRecords = (text: string): number => text.split('\ndata: {').length - 1

/** Concurrent streams of `tokens` new tokens; throws if one is incomplete. */
export async function runStreams(
  url: string,
  prompts: readonly (string | readonly number[])[],
  tokens: number,
): Promise<TimedResponse[]> {
  const agent = createClientAgent()
  const responses = await Promise.all(
    prompts.map((prompt) =>
      requestTimed(`${url}/v1/completions`, { agent, body: createAnswerBody(prompt, tokens) }),
    ),
  )
  agent.destroy()
  for (const { status, text } of responses)
    if (status !== 200 || !text.trimEnd().endsWith('data: [DONE]'))
      throw new Error(`A stream was not whole: ${status} ${text.slice(-200)}`)
  return responses
}

/** A stream with exactly as many tokens as the direct request to the engine. */
const createAnswerBody = (prompt: string | readonly number[], tokens: number) => ({
  prompt,
  max_tokens: tokens,
  min_tokens: tokens,
  ignore_eos: true,
  temperature: 0,
  stream: true,
})

/** Milliseconds of GET /healthz, again and again on one connection, until `work` has ended. */
export async function measureHealth(url: string, work: Promise<unknown>): Promise<number[]> {
  const agent = createClientAgent()
  const times: number[] = []
  const state = { isOver: false }
  const over = work.finally(() => void (state.isOver = true))
  while (!state.isOver) {
    times.push((await requestTimed(`${url}/healthz`, { agent })).totalMs)
    await wait(5)
  }
  await over
  agent.destroy()
  return times
}

export interface ClosedLoop {
  readonly clients: number
  /** Answers for each client. */
  readonly each: number
  readonly tokens: number
}

export interface ClosedLoopOutcome {
  readonly answered: number
  /** Refused with 429 and a Retry-After; asked again after it. */
  readonly refused: number
  /** Everything else: an answer that is not whole, another status, a broken connection. */
  readonly lost: readonly string[]
  /** Milliseconds until the first byte of each answer, from its last sending. */
  readonly waitingMs: readonly number[]
}

/**
 * Clients each of which asks again when it has its answer, until each has its number of answers.
 */
export async function runClosedLoop(
  url: string,
  { clients, each, tokens }: ClosedLoop,
): Promise<ClosedLoopOutcome> {
  const agent = createClientAgent()
  const outcome = { answered: 0, refused: 0, lost: [] as string[], waitingMs: [] as number[] }
  const ask = async (client: number, turn: number): Promise<void> => {
    const body = createAnswerBody(`Client ${client} asks ${turn}:`, tokens)
    const response = await requestTimed(`${url}/v1/completions`, { agent, body })
    const { status, headers, text } = response
    if (status === 429 && headers['retry-after'] !== undefined) {
      outcome.refused++
      await wait(Number(headers['retry-after']) * 1000)
      return ask(client, turn)
    }
    if (status === 200 && countRecords(`\n${text}`) >= tokens) {
      outcome.answered++
      outcome.waitingMs.push(response.firstMs)
    } else outcome.lost.push(`${status} ${text.slice(-200)}`)
  }
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = 0; turn < each; turn++)
        await ask(client, turn).catch((error: unknown) => outcome.lost.push(String(error)))
    }),
  )
  agent.destroy()
  return outcome
}

/** Bytes of the server's process that `count` connections take, each idle after one request. */
export async function measureIdleConnections(url: string, count: number): Promise<number> {
  const { hostname, port } = new URL(url)
  const open = () => connectIdle(hostname, Number(port))
  const warm = await Promise.all(Array.from({ length: 50 }, open))
  for (const socket of warm) socket.destroy()
  await wait(200)
  const before = await readResidentBytes(url)
  const sockets: Socket[] = []
  while (sockets.length < count)
    sockets.push(...(await Promise.all(Array.from({ length: 50 }, open))))
  const after = await readResidentBytes(url)
  const isOpen = sockets.every((socket) => !socket.destroyed && !socket.readableEnded)
  for (const socket of sockets) socket.destroy()
  if (!isOpen) throw new Error(`The server closed some of ${count} connections while they opened.`)
  return after - before
}

/** A connection on which one request was answered. */
function connectIdle(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    socket.once('error', reject)
    socket.once('data', () => {
      socket.off('error', reject)
      socket.on('error', () => undefined)
      resolve(socket)
    })
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`)
  })
}

async function readResidentBytes(url: string): Promise<number> {
  const agent = createClientAgent()
  const { text } = await requestTimed(`${url}/metrics`, { agent })
  agent.destroy()
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)![1])
}
