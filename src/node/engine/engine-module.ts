// An engine in a worker: the module that open-engine-worker.ts starts there.

import type { AdapterMetadata, Expert } from '../../adapters/index.ts'
import { createEngine } from '../../runtime/create-engine.ts'
import type { EngineOptions } from '../../runtime/engine/engine-options.ts'
import { createEngineClient } from '../../runtime/worker/create-engine-client.ts'
import type { EngineClient } from '../../runtime/worker/engine-client.ts'
import { loadAdapter } from '../adapters.ts'
import { loadModel, type LoadModelOptions } from '../model.ts'
import { openPrefixFolder } from '../stores/prefix-folder.ts'
import type { WorkerObject } from '../worker/run-worker-task.ts'

/** An expert as it was registered, to be registered again after a crash. */
export interface KeptExpert {
  readonly name: string
  readonly expert: Expert | string
  readonly metadata: AdapterMetadata | undefined
  readonly isPinned: boolean
}

/** Where prefixes outlive the worker. */
export interface PrefixFolderChoice {
  readonly path: string
  readonly maxBytes: number
}

export interface EngineTask {
  readonly model: string
  readonly load: Omit<LoadModelOptions, 'onProgress'>
  readonly engine: Omit<EngineOptions, 'saved'>
  readonly prefixFolder: PrefixFolderChoice | undefined
  readonly experts: readonly KeptExpert[]
  /** A missing folder after a crash must not cause another crash. */
  readonly isStartedAgain: boolean
}

export async function openEngine(task: EngineTask): Promise<WorkerObject> {
  const { prefixFolder, experts, isStartedAgain } = task
  const model = await loadModel(task.model, task.load)
  try {
    const saved =
      prefixFolder &&
      (await openPrefixFolder(prefixFolder.path, { maxBytes: prefixFolder.maxBytes }))
    const engine = createEngine({ ...task.engine, model, ...(saved && { saved }) })
    const loadExpert = (path: string): Promise<Expert> => loadAdapter(path, { model })
    const client = createEngineClient({ model, engine, loadExpert })
    for (const expert of experts)
      await registerExpert(client, expert).catch((error: unknown) => {
        if (!isStartedAgain) throw error
        process.stderr.write(`graft: ${expert.name} could not be registered again: ${error}\n`)
      })
    return { object: client, close: () => model.dispose() }
  } catch (error) {
    await model.dispose()
    throw error
  }
}

async function registerExpert(
  client: EngineClient,
  { name, expert, metadata, isPinned }: KeptExpert,
): Promise<void> {
  await client.registerAdapter(name, expert, metadata)
  if (isPinned) await client.pinAdapter(name)
}
