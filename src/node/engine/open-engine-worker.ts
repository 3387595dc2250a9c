// An engine in a worker, so that the calling thread is never blocked by a run of the model. After a
// crash it is reopened with the experts that were registered.

import type { Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import {
  checkOptions,
  integer,
  object,
  string,
  unchecked,
  withoutOptions,
  pickOptions,
} from '../../base/schema.ts'
import { engineFields, type EngineOptions } from '../../runtime/engine/engine-options.ts'
import { type EngineClient, engineSequences } from '../../runtime/worker/engine-client.ts'
import type { LoadModelOptions } from '../model.ts'
import { loadFields } from '../models/model-options.ts'
import { planShare, shareField, type TrainShare } from '../jobs/train-share.ts'
import {
  createTrainer,
  type TrainChoice,
  type Trainer,
  type TrainJob,
  type TrainJobOptions,
} from '../jobs/trainer.ts'
import type { EngineTask, KeptExpert, PrefixFolderChoice } from './engine-module.ts'
import { openWorker, workerSettingFields, type WorkerSettings } from '../worker/open-worker.ts'
import type { WorkerReport } from '../worker/restarted-worker.ts'
import { locateModule } from '../worker/worker-host.ts'

export interface EngineWorkerOptions
  extends
    WorkerSettings,
    Omit<EngineOptions, 'saved'>,
    Omit<LoadModelOptions, 'onProgress' | 'environment'> {
  /** A path or name, as `loadModel` takes it. */
  readonly model: string
  /** Prefixes that outlive the worker; as `openPrefixFolder`. */
  readonly prefixFolder?: PrefixFolderChoice | undefined
  /**
   * How `train` shares the machine by default. With 'half' the engine uses half of the threads.
   * Default 'background'.
   */
  readonly trainShare?: TrainShare | undefined
  /** Experts by name that are registered from the start: adapters, mixtures, or paths. */
  readonly experts?: Readonly<Record<string, Expert | string>> | undefined
}

/** An engine in a worker. */
export interface EngineWorker extends EngineClient {
  /** Whether it is running, and how often it crashed. */
  report(): WorkerReport
  /**
   * Trains an expert of this model next to requests, in its own process. It is served under its
   * name when its evaluation passes; otherwise it is set aside with the reason. Throws for wrong
   * options or data before anything is queued.
   */
  train(options: Omit<TrainJobOptions, 'model'>, choice: TrainChoice): Promise<TrainJob>
  /** All jobs of `train`. */
  jobs: Trainer['jobs']
}

const loadModelFields = withoutOptions(loadFields, 'onProgress', 'environment')
const ownEngineFields = withoutOptions(engineFields, 'saved')

const fields = {
  ...workerSettingFields,
  ...loadModelFields,
  ...ownEngineFields,
  model: string({ filled: true }),
  prefixFolder: object({ path: string({ filled: true }), maxBytes: integer({ from: 0 }) }),
  trainShare: shareField,
  experts: unchecked<Readonly<Record<string, Expert | string>>>('experts by name'),
}

/**
 * Opens a model and an engine in a worker:
 *
 *     const engine = await openEngineWorker({ model: 'stories260k', maxRows: 16 })
 *     for await (const event of engine.generate({ prompt: 'Lily' })) …
 *     await engine.dispose()
 *
 * Where the worker crashes, requests in flight end with a WorkerError, the worker is started again
 * with the same experts, and later requests are served. `dispose` waits for the current run. Throws
 * what loadModel, createEngine and registering throw.
 */
export async function openEngineWorker(options: EngineWorkerOptions): Promise<EngineWorker> {
  checkOptions('Options of openEngineWorker', options, fields)
  const { model, prefixFolder, experts = {}, trainShare = 'background' } = options
  if (model === undefined) throw new OptionError('Options of openEngineWorker: model is missing.')
  if (prefixFolder && (prefixFolder.path === undefined || prefixFolder.maxBytes === undefined))
    throw new OptionError('Options of openEngineWorker: prefixFolder needs path and maxBytes.')
  const kept = new Map<string, KeptExpert>(
    Object.entries(experts).map(([name, expert]) => [
      name,
      { name, expert, metadata: undefined, isPinned: false },
    ]),
  )
  const threads = options.threads ?? (trainShare === 'half' ? planShare('half').engine : undefined)
  let starts = 0
  const createTask = (): EngineTask => ({
    model,
    prefixFolder,
    load: pickOptions({ ...options, threads }, loadModelFields),
    engine: pickOptions(options, ownEngineFields),
    experts: [...kept.values()],
    isStartedAgain: starts++ > 0,
  })
  const worker = await openWorker<EngineClient>({
    ...pickOptions(options, workerSettingFields),
    name: options.name ?? `the engine of ${model}`,
    module: locateModule(import.meta.url, 'engine-module'),
    factory: 'openEngine',
    options: createTask,
    sequences: engineSequences,
  })
  const client = keepExperts(worker.object, kept)
  const trainer = createTrainer({
    engine: client,
    findCurrent: (name) => kept.get(name)?.expert,
  })
  return {
    ...client,
    report: () => worker.report(),
    async train(given, choice) {
      const share = choice.share ?? trainShare
      checkShare(share, threads)
      return trainer.train({ ...given, model }, { ...choice, share })
    },
    jobs: () => trainer.jobs(),
    async dispose() {
      await trainer.close()
      await worker.close()
    },
  }
}

/** Throws OptionError if the engine has more threads than its half. */
function checkShare(share: TrainShare, threads: number | undefined): void {
  if (share !== 'half') return
  const half = planShare(share).engine
  if (threads !== undefined && threads <= half) return
  throw new OptionError(
    `share: 'half' is for an engine that has half of the threads, because a compiled program keeps its number; open it with trainShare: 'half' or threads: ${half} (got ${threads ?? 'all'}), or train in the background.`,
  )
}

/** The client; remembers what must be registered again after a crash. */
function keepExperts(client: EngineClient, kept: Map<string, KeptExpert>): EngineClient {
  return {
    generate: (request) => client.generate(request),
    generateCopies: (request, count) => client.generateCopies(request, count),
    encode: (prompt, chat, adapter) => client.encode(prompt, chat, adapter),
    async registerAdapter(name, expert, metadata) {
      const entry = await client.registerAdapter(name, expert, metadata)
      const isPinned = kept.get(name)?.isPinned ?? false
      kept.set(name, { name, expert, metadata, isPinned })
      return entry
    },
    async unloadAdapter(name) {
      const known = kept.get(name)
      kept.delete(name) // at once, as in the engine: the call waits for requests that run
      try {
        await client.unloadAdapter(name)
      } catch (error) {
        if (known && !kept.has(name)) kept.set(name, known)
        throw error
      }
    },
    async pinAdapter(name, isPinned = true) {
      await client.pinAdapter(name, isPinned)
      const known = kept.get(name)
      if (known) kept.set(name, { ...known, isPinned })
    },
    preloadAdapter: (name) => client.preloadAdapter(name),
    listAdapters: () => client.listAdapters(),
    stats: () => client.stats(),
    dispose: () => client.dispose(),
  }
}
