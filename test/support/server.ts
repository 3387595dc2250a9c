// A server over the embedded model, in this process, and short ways to ask it.

import { createEngine, loadModel, type LoadedModel } from '../../src/node/index.ts'
import type { Adapter } from '../../src/adapters/index.ts'
import type { Engine } from '../../src/runtime/index.ts'
import { createServer, type Server, type ServerOptions } from '../../src/server/app.ts'
import { createService, type ServiceOptions } from '../../src/server/local/create-service.ts'
import type { UserStore } from '../../src/learn/store/user-store.ts'
import { UserLearning } from '../../src/server/learning/user-learning.ts'
import type { Service } from '../../src/server/service.ts'
import { createExpert } from './engine.ts'

export interface TestServer {
  readonly model: LoadedModel
  readonly engine: Engine
  readonly service: Service
  readonly server: Server
  close(): Promise<void>
}

/** Options of the service, the engine and the server, over stories260k. */
export async function openTestServer(
  options: Partial<ServiceOptions> & {
    readonly engineOptions?: object
    /** Where users are kept; without it the server does not learn. */
    readonly learningStore?: UserStore
    readonly serverOptions?: Partial<ServerOptions>
  } = {},
): Promise<TestServer> {
  const { engineOptions, serverOptions, learningStore, ...serviceOptions } = options
  const model = await loadModel('stories260k')
  const engine = createEngine({ model, ...engineOptions })
  const learning = learningStore && new UserLearning({ model, engine, store: learningStore })
  const service = await createService({ model, engine, learning, ...serviceOptions })
  const server = createServer({ service, ...serverOptions })
  const close = async (): Promise<void> => {
    await learning?.close()
    await model.dispose()
  }
  return { model, engine, service, server, close }
}

/** An adapter that changes the model's text. */
export const createNoisyExpert = (
  { base }: LoadedModel,
  seed: number,
  options: object = { rank: 4, targets: ['q_proj', 'v_proj', 'down_proj'], start: 'random' },
): Adapter => createExpert(base, 'lora', options as Record<string, unknown>, seed)

/** What JSON.parse gives: tests look into bodies of every form. */
type ParsedJson = ReturnType<typeof JSON.parse>

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: ParsedJson
}

export async function ask(
  { server }: Pick<TestServer, 'server'>,
  path: string,
  body?: unknown,
  { method = body === undefined ? 'GET' : 'POST', ...init }: RequestInit = {},
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await server.fetch(
    new Request(`http://graft${path}`, {
      method,
      ...(body !== undefined && { body: text }),
      ...init,
    }),
  )
  const received = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(received) : received,
  }
}

/** The records of a stream, `[DONE]` as a string. */
export const parseRecords = (text: string): ParsedJson[] =>
  text
    .split('\n\n')
    .filter((record) => record.startsWith('data: '))
    .map((record) => record.slice(6))
    .map((record) => (record === '[DONE]' ? record : JSON.parse(record)))
