// Makes the object of a worker and exposes it to the other side.

import { OptionError } from '../../base/errors.ts'
import { decodeValue } from '../../runtime/worker/encode-value.ts'
import { exposeFailure, exposeObject } from '../../runtime/worker/expose-object.ts'
import type { RemotePort } from '../../runtime/worker/port.ts'
import type { WorkerTask } from './worker-host.ts'

/** The result of a factory of a worker's module. */
export interface WorkerObject {
  /** Its methods can be called from the other side. */
  readonly object: object
  /** Resolves when nothing runs any more. */
  close?(): Promise<void> | void
}

export type WorkerFactory<Options> = (options: Options) => Promise<WorkerObject> | WorkerObject

/** True if the object is ready. Never throws. */
export async function runWorkerTask(task: WorkerTask, port: RemotePort): Promise<boolean> {
  try {
    const factory = await loadFactory(task)
    const { object, close } = await factory(decodeValue(task.options))
    exposeObject(port, object, { close })
    return true
  } catch (error) {
    exposeFailure(port, error)
    return false
  }
}

async function loadFactory({ module, factory }: WorkerTask): Promise<WorkerFactory<unknown>> {
  const loaded = (await import(module)) as Readonly<Record<string, unknown>>
  const found = loaded[factory]
  if (typeof found === 'function') return found as WorkerFactory<unknown>
  throw new OptionError(
    `${module} has no function ${factory}; it exports ${Object.keys(loaded).join(', ') || 'nothing'}.`,
  )
}
