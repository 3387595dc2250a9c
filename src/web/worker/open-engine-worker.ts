// An engine in a worker of a page, behind the calls of `openEngineWorker` of graftlm/node: the page
// stays free while the model computes, trains and merges.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { OptionError, WorkerError } from '../../base/errors.ts'
import {
  checkOptions,
  pickOptions,
  record,
  string,
  unchecked,
  withoutOptions,
} from '../../base/schema.ts'
import { engineFields, type EngineOptions } from '../../runtime/engine/engine-options.ts'
import { type Connection, connectObject } from '../../runtime/worker/connect-object.ts'
import { encodeValue } from '../../runtime/worker/encode-value.ts'
import { loadFields, type LoadWebModelOptions } from '../model.ts'
import { sourceField, type WebSource } from '../sources/open-source.ts'
import {
  learnerSequences,
  type WebEngineTask,
  type WorkerEngine,
  type WorkerLearner,
  type WorkerLearnerOptions,
  workerSequences,
} from './engine-object.ts'
import type { OpeningMessage, OpenMessage } from './worker-messages.ts'

export interface WebEngineWorkerOptions
  extends Omit<LoadWebModelOptions, 'runtime'>, Omit<EngineOptions, 'saved'> {
  /** The inputs of `loadModel`, except a custom folder of bytes. */
  readonly model: WebSource
  /** Experts by name that are registered at the start: adapters, mixtures, URLs or `opfs:…`. */
  readonly experts?: Readonly<Record<string, Expert | string>> | undefined
  /** A learner over the same model, at `learner`. */
  readonly learner?: WorkerLearnerOptions | undefined
  /**
   * The worker, or the URL of its script, if no bundler puts it next to this module: `new
   * Worker(new URL('graftlm/web/worker', import.meta.url), { type: 'module' })`.
   */
  readonly worker?: Worker | string | URL | undefined
}

/** An engine in a worker of this page. */
export interface WebEngineWorker extends WorkerEngine {
  /** Set if the option `learner` was given. */
  readonly learner: WorkerLearner | undefined
}

const ownLoadFields = withoutOptions(loadFields, 'runtime')
const ownEngineFields = withoutOptions(engineFields, 'saved')

const fields = {
  ...ownLoadFields,
  ...ownEngineFields,
  model: sourceField,
  experts: unchecked<Readonly<Record<string, Expert | string>>>('experts by name'),
  learner: record,
  worker: unchecked<Worker | string | URL>('a Worker or the URL of its script'),
  name: string({ filled: true }),
}

/**
 * Opens a model and an engine in a worker:
 *
 *     const engine = await openEngineWorker({ model: '/models/smollm2.gguf' })
 *     for await (const event of engine.generate({ prompt: 'Hello' })) …
 *     for await (const event of engine.train({ data, out: 'opfs:experts/mine' })) …
 *     await engine.dispose()
 *
 * If the worker ends, requests in flight and later ones throw WorkerError; then open it again.
 * Throws what loadModel, createEngine and registering throw.
 */
export async function openEngineWorker(options: WebEngineWorkerOptions): Promise<WebEngineWorker> {
  checkOptions('Options of openEngineWorker', options, fields)
  if (options.model === undefined)
    throw new OptionError('Options of openEngineWorker: model is missing.')
  const { experts = {}, learner: learning, signal, onProgress, onNote } = options
  const task: WebEngineTask = {
    model: options.model instanceof URL ? options.model.href : options.model,
    load: pickOptions(options, withoutOptions(ownLoadFields, 'onProgress', 'onNote', 'signal')),
    engine: pickOptions(options, ownEngineFields),
    experts,
    learner: learning,
  }
  signal?.throwIfAborted()
  const { encoded, transfer } = encodeValue(task, 'Options of openEngineWorker')
  const worker = openWorkerScript(options.worker)
  const port = new MessageChannel()
  const learnerPort = learning && new MessageChannel()
  const engine = connectObject<WorkerEngine>(port.port1, { sequences: workerSequences as never })
  const learner =
    learnerPort &&
    connectObject<WorkerLearner>(learnerPort.port1, { sequences: learnerSequences as never })
  const connections = [engine, learner].filter((one) => one !== undefined)
  listenToWorker(worker, connections, { onProgress, onNote })
  const message: OpenMessage = {
    type: 'graft-open',
    task: encoded,
    port: port.port2,
    learnerPort: learnerPort?.port2,
  }
  const ports = learnerPort ? [port.port2, learnerPort.port2] : [port.port2]
  worker.postMessage(message, [...transfer, ...ports])
  const abort = (): void => closeWith(connections, signal!.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    await engine.ready
  } catch (error) {
    worker.terminate()
    throw error instanceof WorkerError && error.cause !== undefined ? error.cause : error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  return createClient(engine, learner, worker)
}

function openWorkerScript(given: WebEngineWorkerOptions['worker']): Worker {
  if (given instanceof Worker) return given
  if (given !== undefined) return new Worker(given, { type: 'module', name: 'graft engine' })
  // Bundlers look for exactly this form.
  return new Worker(new URL('./worker-main.js', import.meta.url), {
    type: 'module',
    name: 'graft engine',
  })
}

type Connections = readonly Pick<Connection<unknown>, 'fail'>[]

function closeWith(connections: Connections, reason: unknown): void {
  const error = reason instanceof Error ? reason : new WorkerError(String(reason))
  for (const connection of connections) connection.fail(error)
}

/** Receives the worker's messages while it opens, and its end. */
function listenToWorker(
  worker: Worker,
  connections: Connections,
  { onProgress, onNote }: Pick<WebEngineWorkerOptions, 'onProgress' | 'onNote'>,
): void {
  worker.addEventListener('message', ({ data }: MessageEvent<OpeningMessage>) => {
    if (data?.type === 'graft-progress') onProgress?.(data.progress)
    else if (data?.type === 'graft-note') onNote?.(data.note)
  })
  worker.addEventListener('error', ({ message }) => {
    const reason = message
      ? `it failed: ${message}`
      : "its script could not be loaded. Give the worker or its script's URL: openEngineWorker({ worker })"
    closeWith(connections, new WorkerError(`The engine's worker ended: ${reason}.`))
  })
}

function createClient(
  engine: Connection<WorkerEngine>,
  learner: Connection<WorkerLearner> | undefined,
  worker: Worker,
): WebEngineWorker {
  const { object } = engine
  const dispose = async (): Promise<void> => {
    await engine.stop()
    worker.terminate()
    closeWith(
      [engine, ...(learner ? [learner] : [])],
      new WorkerError('The engine was disposed of.'),
    )
  }
  const own: Partial<Record<PropertyKey, unknown>> = {
    dispose,
    learner: learner?.object,
  }
  // The remote object creates its methods at first access.
  return new Proxy(object as object, {
    get: (remote, name) => (name in own ? own[name] : Reflect.get(remote, name)),
  }) as WebEngineWorker
}
