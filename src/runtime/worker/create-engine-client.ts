// Wraps an engine of this thread as a client; a worker exposes the same object.

import { type AdapterMetadata, type Expert, isMixture } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import { checkOptions, unchecked } from '../../base/schema.ts'
import type { ChatOptions } from '../../formats/text/chat-template.ts'
import { type GivenExpert, resolveExpert } from '../engine/compose/resolve-expert.ts'
import type { Engine, EngineRequest } from '../engine/engine.ts'
import { EventQueue } from '../engine/event-queue.ts'
import type { ExpertHandle } from '../engine/pool/adapter-pool.ts'
import type { Model } from '../model.ts'
import type { Prompt } from '../prompt.ts'
import type { ClientRequest, CopyEvent, EngineClient, ExpertEntry } from './engine-client.ts'
import { createLeavable } from './leavable.ts'

export interface EngineClientOptions {
  readonly model: Model
  /** An engine of this model. */
  readonly engine: Engine
  /** Loads an adapter from a path. Default: paths are refused. */
  readonly loadExpert?: ((path: string) => Promise<Expert>) | undefined
}

const fields = {
  model: unchecked<Model>('a model'),
  engine: unchecked<Engine>('an engine'),
  loadExpert: unchecked<(path: string) => Promise<Expert>>('a function'),
}

const refusePath = async (path: string): Promise<never> => {
  throw new OptionError(`${path}: this engine reads no files; give the adapter itself.`)
}

/** An engine with the same interface as one in a worker. */
export function createEngineClient(options: EngineClientOptions): EngineClient {
  checkOptions('Options of createEngineClient', options, fields)
  const { model, engine, loadExpert = refusePath } = options
  const { experts } = engine
  const encode = async (
    prompt: Prompt,
    chat?: ChatOptions,
    adapter?: GivenExpert,
  ): Promise<number[]> => {
    const names = { pool: experts, baseName: model.base.name }
    const { described } = await resolveExpert(adapter, names)
    return model.encode(prompt, chat, described)
  }
  const toRequest = async (
    { chat, prompt, ...request }: ClientRequest,
    signal: AbortSignal,
  ): Promise<EngineRequest> => ({
    ...request,
    signal,
    prompt: await encode(prompt, chat, request.adapter),
  })
  return {
    encode,
    generate: (request) =>
      createLeavable(request.signal, async function* (signal) {
        yield* engine.generate(await toRequest(request, signal))
      }),
    generateCopies: (request, count) =>
      createLeavable(request.signal, async function* (signal) {
        yield* generateCopies(engine, await toRequest(request, signal), count)
      }),
    async registerAdapter(name, expert: Expert | string, metadata?: AdapterMetadata) {
      const given = typeof expert === 'string' ? await loadExpert(expert) : expert
      return describeExpert(await engine.registerAdapter(name, given, metadata))
    },
    unloadAdapter: (name) => engine.unloadAdapter(name),
    async pinAdapter(name, isPinned = true) {
      await experts.find(name)
      if (isPinned) experts.pin(name)
      else experts.unpin(name)
    },
    async preloadAdapter(name) {
      await engine.prepare(name, 'fast')
    },
    listAdapters: async () => experts.list().map(describeExpert),
    stats: async () => engine.stats(),
    dispose: () => engine.dispose(),
  }
}

/** The events of all copies as they arrive. */
async function* generateCopies(
  engine: Engine,
  request: EngineRequest,
  count: number,
): AsyncGenerator<CopyEvent, void> {
  const copies = await engine.addCopies(request, count)
  void engine.run()
  const queue = new EventQueue<CopyEvent>()
  const reading = copies.map(async ({ events }, copy) => {
    for await (const event of events) queue.push({ ...event, copy })
  })
  Promise.all(reading).then(
    () => queue.end(),
    (error: unknown) => queue.end(error),
  )
  try {
    yield* queue
  } finally {
    for (const copy of copies) copy.cancel()
    await Promise.allSettled(reading)
  }
}

function describeExpert({
  name = '',
  version,
  key,
  described,
  metadata,
}: ExpertHandle): ExpertEntry {
  const kind = isMixture(described) ? 'mixture' : described.kind
  return { name, version, key, kind, metadata }
}
