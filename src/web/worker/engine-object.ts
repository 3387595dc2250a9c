// The engine inside a page's worker: the implementation of its calls.

import type { Adapter } from '../../adapters/adapter.ts'
import type { SaveAdapterOptions } from '../../adapters/files/peft.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import type { Learner } from '../../learn/learner-calls.ts'
import type { LearnerOptions } from '../../learn/learner-options.ts'
import type { MergeSources } from '../../merge/named-adapters.ts'
import { createEngine } from '../../runtime/create-engine.ts'
import type { EngineOptions } from '../../runtime/engine/engine-options.ts'
import { createEngineClient } from '../../runtime/worker/create-engine-client.ts'
import { type EngineClient, engineSequences } from '../../runtime/worker/engine-client.ts'
import { markTransfer } from '../../runtime/worker/transfer.ts'
import type { TrainEvent } from '../../train/events.ts'
import { exportAdapter, loadAdapter, type LoadWebAdapterOptions, saveAdapter } from '../adapters.ts'
import type { MergeWebOptions } from '../merge.ts'
import { loadModel, type LoadWebModelOptions, type WebModel } from '../model.ts'
import type { WebSource } from '../sources/open-source.ts'
import type { TrainWebOptions } from '../train-options.ts'

/** The model that the worker has opened. */
export interface WorkerModelFacts {
  readonly name: string
  readonly modelType: string
  readonly parameters: number
  readonly contextLength: number
  readonly hasChatTemplate: boolean
}

type WorkerTrainOptions = Omit<TrainWebOptions, 'model' | 'programs' | 'now' | 'checkpoint'> & {
  readonly checkpoint?: { readonly everySteps?: number | undefined } | undefined
}

/** An engine, and the worker's other functions on the model. */
export interface WorkerEngine extends EngineClient {
  /** Facts on the model. */
  describe(): Promise<WorkerModelFacts>
  /**
   * Trains an adapter of the model; the events arrive one at a time, the last one with the adapter.
   * Leaving the loop or aborting the signal stops the run after the current step, with a checkpoint
   * if there is an `out`.
   */
  train(options: WorkerTrainOptions): AsyncGenerator<TrainEvent, void, void>
  /** As `loadAdapter`, for this model. */
  loadAdapter(
    source: WebSource,
    options?: Omit<LoadWebAdapterOptions, 'model' | 'onNote' | 'onProgress'>,
  ): Promise<Adapter>
  /** As `saveAdapter`, into OPFS or a folder that the user has opened. */
  saveAdapter(
    adapter: Adapter,
    sink: string | FileSystemDirectoryHandle,
    options?: SaveAdapterOptions,
  ): Promise<void>
  /** As `exportAdapter`. */
  exportAdapter(adapter: Adapter, options?: SaveAdapterOptions): Promise<Map<string, Uint8Array>>
  /** As `merge`; this model is the base if a kind needs one. */
  merge(
    adapters: MergeSources<Adapter | WebSource>,
    options?: Omit<MergeWebOptions, 'base' | 'onModule'>,
  ): Promise<Adapter>
}

export const workerSequences = [...engineSequences, 'train'] as const

/** A learner's calls except the one that returns functions. */
export type WorkerLearner = Omit<Learner, 'startAnswer'>

export const learnerSequences = ['generate'] as const

/** Options of a learner in a worker. */
export interface WorkerLearnerOptions extends Omit<
  LearnerOptions,
  'model' | 'store' | 'now' | 'expert'
> {
  readonly expert?: Adapter | undefined
  /** The name of an IndexedDB database that stores users. Default: they are only in memory. */
  readonly store?: string | undefined
}

/** The message that starts a worker. */
export interface WebEngineTask {
  readonly model: WebSource
  readonly load: Omit<LoadWebModelOptions, 'runtime' | 'onProgress' | 'onNote' | 'signal'>
  readonly engine: Omit<EngineOptions, 'saved'>
  readonly experts: Readonly<Record<string, Expert | string>>
  readonly learner: WorkerLearnerOptions | undefined
}

export interface OpenedTask {
  readonly engine: WorkerEngine
  readonly learner: Learner | undefined
  close(): Promise<void>
}

/** Opens the model, the engine with its experts, and the learner. Throws what each throws. */
export async function openTask(
  { model: source, load, engine: options, experts, learner: learning }: WebEngineTask,
  told: Pick<LoadWebModelOptions, 'onProgress' | 'onNote'>,
): Promise<OpenedTask> {
  const model = await loadModel(source, { ...load, ...told })
  try {
    const engine = createEngine({ ...options, model })
    const loadExpert = (path: string): Promise<Expert> => loadAdapter(path, { model })
    const client = createEngineClient({ model, engine, loadExpert })
    for (const [name, expert] of Object.entries(experts)) await client.registerAdapter(name, expert)
    const learner = learning && (await openLearner(model, learning))
    return {
      engine: Object.assign(client, createModelCalls(model)),
      learner,
      async close() {
        await learner?.close()
        await engine.dispose()
        await model.dispose()
      },
    }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

async function openLearner(
  model: WebModel,
  { store: name, ...options }: WorkerLearnerOptions,
): Promise<Learner> {
  const [{ createLearner }, { openIndexedDbStore }] = await Promise.all([
    import('../../learn/learner.ts'),
    import('../stores/indexed-db-store.ts'),
  ])
  const store = name === undefined ? undefined : await openIndexedDbStore(name)
  return createLearner({ ...options, model, ...(store && { store }) } as LearnerOptions)
}

type ModelCalls = Omit<WorkerEngine, keyof EngineClient>

/**
 * Modules that only some pages need are loaded on demand, so that the first text arrives sooner.
 */
function createModelCalls(model: WebModel): ModelCalls {
  return {
    describe: async () => describeModel(model),
    async *train(options) {
      const { train } = await import('../train.ts')
      yield* train({ ...options, model } as TrainWebOptions)
    },
    loadAdapter: (source, options) => loadAdapter(source, { ...options, model }),
    saveAdapter: (adapter, sink, options) => saveAdapter(adapter, sink, options),
    async exportAdapter(adapter, options) {
      const files = await exportAdapter(adapter, options)
      for (const bytes of files.values()) markTransfer(bytes)
      return files
    },
    async merge(adapters, options) {
      const { merge } = await import('../merge.ts')
      return merge(adapters, { ...options, base: model })
    },
  }
}

function describeModel({ base }: WebModel): WorkerModelFacts {
  const { modelType, maxPositions: contextLength } = base.config
  let parameters = 0
  for (const { shape } of base.weights.tensors.values())
    parameters += shape.reduce((product, dim) => product * dim, 1)
  return {
    name: base.name,
    modelType,
    parameters,
    contextLength,
    hasChatTemplate: base.chatTemplate !== undefined,
  }
}
