// A server's service with its own model, engine and experts, in this thread or in the worker that
// open-service.ts starts.

import { createEngine } from '../../runtime/create-engine.ts'
import type { Engine } from '../../runtime/engine/engine.ts'
import type { EngineOptions } from '../../runtime/engine/engine-options.ts'
import { createService } from '../../server/local/create-service.ts'
import type { UserLearning } from '../../server/learning/user-learning.ts'
import type { Service } from '../../server/service.ts'
import { loadModel, type LoadedModel, type LoadModelOptions } from '../model.ts'
import type { TrustedKey } from '../registry/trusted-keys.ts'
import { openPrefixFolder } from '../stores/prefix-folder.ts'
import { listBaseAliases } from './base-names.ts'
import type { OpenRoutingParts, OpenedRouting } from './open-routing.ts'
import { createAdapterReader } from './read-served-adapter.ts'
import type { RoutingTask } from './routing-options.ts'
import type { VllmTask } from './backend-options.ts'

/** An expert to begin with. */
export interface ServedAdapter {
  readonly name: string
  readonly path: string
  readonly isPinned?: boolean | undefined
  /** The root digest that its files must have. */
  readonly sha256?: string | undefined
}

/** What a service is made from: plain values, so that they reach a worker. */
export interface ServiceTask {
  readonly model: string
  readonly load: Omit<LoadModelOptions, 'onProgress' | 'environment' | 'today'>
  readonly engine: Omit<EngineOptions, 'saved'>
  readonly prefixFolder?: { readonly path: string; readonly maxBytes: number } | undefined
  readonly aliases: readonly string[]
  readonly adapters: readonly ServedAdapter[]
  readonly chatTemplate?: string | undefined
  readonly maxTokens?: number | undefined
  /** Keys, one of which must have signed every adapter; undefined: none need be signed. */
  readonly trustedKeys?: readonly TrustedKey[] | undefined
  /** A router and what belongs to it, for requests of the model "auto". */
  readonly routing?: RoutingTask | undefined
  /** A vLLM server that computes the answers in the place of an engine of this process. */
  readonly vllm?: VllmTask | undefined
  /** Learns from users, stored at this address as openUserStore takes it, or in memory. */
  readonly users?: { readonly place: string } | 'memory' | undefined
  /** Bytes of memory for users who are not in use, with an address. */
  readonly userBytes?: number | undefined
  /** Adapters that cannot be read are left out with a line: a crash must not follow a crash. */
  readonly isStartedAgain: boolean
}

export interface OpenedService {
  readonly object: Service
  close(): Promise<void>
}

/** Throws what loading the model and its adapters throws. */
export async function openService(task: ServiceTask): Promise<OpenedService> {
  const model = await loadModel(task.model, { ...task.load, today: new Date() })
  try {
    const { service, pool, prepare, closeLearning } = await openComputing(task, model)
    for (const adapter of task.adapters) await loadOne(service, adapter, task.isStartedAgain)
    await prepare()
    const { routing, adapters } = task
    const routed =
      routing &&
      (await openRouted(service, {
        routing,
        adapters,
        learns: task.users !== undefined,
        model,
        pool,
      }))
    const close = async (): Promise<void> => {
      await routed?.close()
      await closeLearning()
      await model.dispose()
    }
    return { object: routed?.service ?? service, close }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

interface OpenedComputing {
  readonly service: Service
  /** Experts in memory, for the router. */
  readonly pool: OpenRoutingParts['pool']
  /** Compiles what the base needs. */
  readonly prepare: () => Promise<void>
  readonly closeLearning: () => Promise<void>
}

const finishAtOnce = async (): Promise<void> => undefined

/** The service over an engine of this process, or over a server elsewhere. */
async function openComputing(task: ServiceTask, model: LoadedModel): Promise<OpenedComputing> {
  const options = await collectServiceOptions(task, model)
  if (task.vllm) {
    const { openVllmEngine } = await import('./open-vllm.ts')
    const { engine, createService: create } = await openVllmEngine(task.vllm, model)
    const pool = {
      list: () => engine.experts.list(),
      isResident: () => true,
      preload: refusePreload,
    }
    const service = await create(options)
    return { service, pool, prepare: finishAtOnce, closeLearning: finishAtOnce }
  }
  const { prefixFolder } = task
  const saved =
    prefixFolder && (await openPrefixFolder(prefixFolder.path, { maxBytes: prefixFolder.maxBytes }))
  const engine = createEngine({ ...task.engine, model, ...(saved && { saved }) })
  const { learning, closeLearning } = await openLearning(task, model, engine)
  const service = await createService({ ...options, engine, learning })
  const prepare = (): Promise<void> => engine.prepare(undefined, 'fast')
  return { service, pool: engine.experts, prepare, closeLearning }
}

/** Experts on another server are not preloaded. */
const refusePreload = async (): Promise<boolean> => false

async function collectServiceOptions(task: ServiceTask, model: LoadedModel) {
  const { chatTemplate, maxTokens, aliases } = task
  const name = task.model.includes('/') ? model.base.name : task.model
  const names = [...aliases, model.base.name]
  return {
    model,
    name,
    aliases: [...names, ...listBaseAliases(model.base, [name, ...names])],
    maxRows: task.engine.maxRows,
    readAdapter: await createAdapterReader({
      model,
      source: task.model,
      trustedKeys: task.trustedKeys,
    }),
    today: () => new Date(),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(maxTokens !== undefined && { maxTokens }),
  }
}

/** Loaded only where a router is given. */
async function openRouted(service: Service, parts: OpenRoutingParts): Promise<OpenedRouting> {
  const { openRouting } = await import('./open-routing.ts')
  return openRouting(service, parts)
}

/** A learner that knows the time, over the users of a file. */
async function openLearning(
  { users, userBytes }: Pick<ServiceTask, 'users' | 'userBytes'>,
  model: LoadedModel,
  engine: Engine,
): Promise<{
  readonly learning: UserLearning | undefined
  readonly closeLearning: () => Promise<void>
}> {
  if (users === undefined) return { learning: undefined, closeLearning: async () => undefined }
  const { UserLearning } = await import('../../server/learning/user-learning.ts')
  const store =
    users === 'memory'
      ? (await import('../../learn/store/memory-store.ts')).createMemoryStore()
      : await (await import('../stores/open-user-store.ts')).openUserStore(users.place)
  const onProblem = ({ error }: { readonly error?: unknown }): void =>
    void process.stderr.write(`graft: a user could not be saved: ${String(error)}\n`)
  const limit = userBytes === undefined ? {} : { limitBytes: userBytes }
  const learner = Object.assign(limit, { now: Date.now, onProblem })
  const learning = new UserLearning({ model, engine, store, learner })
  const closeLearning = async (): Promise<void> => {
    await learning.close()
    await store.close()
  }
  return { learning, closeLearning }
}

async function loadOne(
  service: Service,
  { name, path, isPinned = false, sha256 }: ServedAdapter,
  mayFail: boolean,
): Promise<void> {
  try {
    await service.loadExpert({ name, path, sha256 })
    if (isPinned) await service.pinExpert(name, true)
  } catch (error) {
    if (!mayFail) throw error
    process.stderr.write(`graft: the expert ${name} could not be loaded again: ${String(error)}\n`)
  }
}
