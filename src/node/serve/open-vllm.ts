// A service over a vLLM server: the base's tokenizer and template are local, vLLM computes answers,
// and adapters are passed through a folder that both see.

import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { computeContextLimit } from '../../graph/rope.ts'
import { createEngine } from '../../runtime/create-engine.ts'
import { describeWriting } from '../../runtime/model-parts.ts'
import type { ServiceOptions } from '../../server/local/create-service.ts'
import type { ServingEngine } from '../../server/local/serving-engine.ts'
import {
  checkVllmTokens,
  createVllmService,
  findVllmBase,
} from '../../server/vllm/create-vllm-service.ts'
import { createVllmClient } from '../../server/vllm/vllm-client.ts'
import { createVllmEngine } from '../../server/vllm/vllm-engine.ts'
import { adapterConfigFile } from '../../adapters/files/peft.ts'
import { getPackedType } from '../../adapters/files/storage.ts'
import { saveAdapter } from '../adapters.ts'
import { writeAtomically } from '../files/atomic-write.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { getCacheDirectory } from '../models/cache.ts'
import type { LoadedModel } from '../model.ts'
import type { VllmTask } from './backend-options.ts'

export interface VllmEngineHere {
  readonly engine: ServingEngine
  readonly contextTokens: number
  createService(
    options: Omit<ServiceOptions, 'engine' | 'contextTokens'>,
  ): ReturnType<typeof createVllmService>
}

/**
 * Throws RequestError if the server does not answer, MismatchError if it serves another base,
 * StorageError if the folder cannot be written.
 */
export async function openVllmEngine(task: VllmTask, model: LoadedModel): Promise<VllmEngineHere> {
  const client = createVllmClient(task)
  const base = await findVllmBase(client)
  if (!(await checkVllmTokens(client, base, model.base)))
    process.stderr.write(
      `graft: ${client.place} has no /tokenize: whether it serves ${model.base.name} is not checked.\n`,
    )
  const folder = resolve(task.shared ?? join(getCacheDirectory(), 'vllm'))
  await makeDirectory(folder)
  const limit = computeContextLimit(model.config)
  const contextTokens = Math.min(limit, base.contextTokens ?? limit)
  const engine = createVllmEngine({
    engine: createEngine({ model }),
    client,
    model: base.id,
    config: model.config,
    contextTokens,
    writing: (expert) => describeWriting(model.base, expert),
    writeAdapter: (key, adapter) => writeContent(folder, key, adapter),
    now: () => performance.now(),
  })
  return {
    engine,
    contextTokens,
    createService: (options) => createVllmService({ ...options, engine, contextTokens }),
  }
}

/** A folder named by its content: written once and kept, so that vLLM finds it after a restart. */
async function writeContent(folder: string, key: string, adapter: Adapter): Promise<string> {
  const path = join(folder, key.replaceAll(/[^\w-]/g, '-'))
  if (await isWritten(path)) return path
  try {
    const options = getPackedType(adapter) === undefined ? {} : { dtype: 'f32' as const }
    await writeAtomically(path, (place) => saveAdapter(adapter, place, options))
  } catch (error) {
    if (await isWritten(path)) return path // another server was faster
    throw error
  }
  return path
}

const isWritten = async (path: string): Promise<boolean> =>
  stat(join(path, adapterConfigFile)).then(
    () => true,
    () => false,
  )

/**
 * The base that a vLLM server was started with, as graft names it. Throws OptionError for others.
 */
export async function findVllmModel(task: VllmTask): Promise<string> {
  const client = createVllmClient(task)
  const { id, root = id } = await findVllmBase(client)
  if (await stat(root).catch(() => undefined)) return root
  if (/^[\w.-]+\/[\w.-]+$/.test(root)) return `hf:${root}`
  throw new OptionError(
    `The vLLM server at ${client.place} serves ${root}, which is not a folder on this machine. Name the same base: graft serve <model> --backend vllm --url ${task.url}.`,
  )
}
