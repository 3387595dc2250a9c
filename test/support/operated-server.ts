// A server with all of its operation over the embedded model, in this process.

import { randomBytes } from 'node:crypto'
import { createEngine, loadAdapter, loadModel } from '../../src/node/index.ts'
import { createAllowedFolders } from '../../src/node/serve/allowed-folders.ts'
import { createMemoryStore } from '../../src/learn/store/memory-store.ts'
import { createServer, type ServerOptions } from '../../src/server/app.ts'
import { keepExperts, noPlaces } from '../../src/server/experts-allowed/keep-experts.ts'
import { createService } from '../../src/server/local/create-service.ts'
import { UserLearning } from '../../src/server/learning/user-learning.ts'
import { createOperations, type OperationParts } from '../../src/server/operations/operations.ts'
import type { OperationOptions } from '../../src/server/operations/options.ts'
import { createMemoryState } from '../../src/server/state/memory-state.ts'
import { createNoisyExpert } from './server.ts'

export interface OperatedServerSettings {
  /** A folder from which requests may load experts; undefined: none. */
  readonly adapterFolder?: string
  /** Learns from users, who are kept in memory. */
  readonly learns?: boolean
  readonly engine?: object
  readonly options?: OperationOptions
  readonly parts?: Partial<OperationParts>
  readonly onFault?: ServerOptions['onFault']
  /** Beside the server's own. */
  readonly routes?: ServerOptions['routes']
}

/** With the experts `coder` and `poet`. Everybody may come in, unless the options say otherwise. */
export async function openOperatedServer({
  adapterFolder,
  learns = false,
  engine: engineOptions,
  options,
  parts,
  onFault,
  routes: further = [],
}: OperatedServerSettings = {}) {
  const model = await loadModel('stories260k')
  const engine = createEngine(Object.assign({ model, maxRows: 4 }, engineOptions))
  const experts = ['coder', 'poet'].map((name, i) => ({
    name,
    expert: createNoisyExpert(model, i + 1),
  }))
  const state = createMemoryState()
  const readAdapter = async (path: string) => ({ adapter: await loadAdapter(path) })
  const learning = learns
    ? new UserLearning({ model, engine, store: createMemoryStore() })
    : undefined
  const served = await createService({ model, engine, experts, readAdapter, learning })
  const kept = keepExperts(served, {
    places: adapterFolder === undefined ? noPlaces : await createAllowedFolders([adapterFolder]),
    store: state.experts,
    base: 'stories260k',
    now: Date.now,
    onFailure: (error) => failures.push(String(error)),
  })
  const { service } = kept
  const failures: string[] = []
  const given = {
    service,
    base: await service.describe(),
    state,
    clock: { now: Date.now, tick: () => performance.now() },
    random: (count: number) => randomBytes(count),
    onFailure: (what: string, error: unknown) => failures.push(`${what}: ${String(error)}`),
  }
  const operations = createOperations(
    Object.assign(given, parts),
    Object.assign({ keyless: 'anyone' }, options),
  )
  const { middleware, guards, routes, maxBodyBytes } = operations
  const server = createServer({
    service,
    middleware,
    guards,
    maxBodyBytes,
    routes: [...routes, ...further],
    onFault: (error, context) => {
      onFault?.(error, context)
      operations.onFault(error, context)
    },
  })
  const close = async (): Promise<void> => {
    await learning?.close()
    await model.dispose()
  }
  return { model, engine, service, operations, server, failures, close }
}
