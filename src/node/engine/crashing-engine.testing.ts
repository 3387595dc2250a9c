// An engine in a worker for tests, which can be made to crash.

import type { EngineClient } from '../../runtime/worker/engine-client.ts'
import { type EngineTask, openEngine } from './engine-module.ts'
import type { WorkerObject } from '../worker/run-worker-task.ts'

export interface CrashingEngine extends EngineClient {
  throwLater(): Promise<void>
}

export async function openCrashingEngine(task: EngineTask): Promise<WorkerObject> {
  const { object, close } = await openEngine(task)
  const throwLater = async (): Promise<void> => {
    setTimeout(() => {
      throw new RangeError('nothing catches this')
    })
  }
  return { object: { ...object, throwLater }, ...(close && { close }) }
}
