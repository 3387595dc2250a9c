// A server's service in a worker, so that HTTP stays quick while the model computes. After a crash
// it is opened again, with the experts that were loaded.

import { replaceMethods } from '../../server/accounts/replace-methods.ts'
import type { ServedExpert, Service } from '../../server/service.ts'
import { openWorker } from '../worker/open-worker.ts'
import type { OpenedService, ServedAdapter, ServiceTask } from './service-module.ts'

export interface OpenServiceOptions extends Omit<ServiceTask, 'isStartedAgain'> {
  /** 'thread' (default) or 'process': a worker; 'none': this thread. */
  readonly isolation: 'thread' | 'process' | 'none'
}

/** Throws what opening the model and its adapters throws. */
export async function openServedModel(options: OpenServiceOptions): Promise<OpenedService> {
  const { isolation, ...task } = options
  if (isolation === 'none') {
    // loaded only here: the thread of HTTP needs nothing of an engine
    const { openService } = await import('./service-module.ts')
    return openService({ ...task, isStartedAgain: false })
  }
  const kept = new Map<string, ServedAdapter>(task.adapters.map((one) => [one.name, one]))
  let starts = 0
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = await openWorker<Service>({
    isolation,
    name: `the model ${task.model}`,
    module: new URL(`./service-module.${extension}`, import.meta.url),
    factory: 'openService',
    options: (): ServiceTask => ({
      ...task,
      adapters: [...kept.values()],
      isStartedAgain: starts++ > 0,
    }),
    sequences: ['generate'],
  })
  return { object: keepAdapters(worker.object, kept), close: () => worker.close() }
}

/** The service, remembering what must be loaded again after a crash. */
function keepAdapters(service: Service, kept: Map<string, ServedAdapter>): Service {
  const keep = (
    expert: ServedExpert,
    { path, sha256 }: Pick<ServedAdapter, 'path' | 'sha256'>,
  ): ServedExpert => {
    const { name, isPinned } = expert
    kept.set(name, { name, path, sha256, isPinned })
    return expert
  }
  return replaceMethods(service, {
    loadExpert: async (request) => keep(await service.loadExpert(request), request),
    async unloadExpert(name) {
      const known = kept.get(name)
      kept.delete(name) // at once, as in the engine: the call waits for answers that run
      try {
        await service.unloadExpert(name)
      } catch (error) {
        if (known && !kept.has(name)) kept.set(name, known)
        throw error
      }
    },
    async pinExpert(name, isPinned) {
      const expert = await service.pinExpert(name, isPinned)
      const known = kept.get(name)
      return known ? keep(expert, known) : expert
    },
  })
}
