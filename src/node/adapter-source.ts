// Where an adapter is on disk, and in which format: a folder as PEFT or mlx-lm saves it, a GGUF
// file, or a Modelfile that names one of them.

import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { NotFoundError } from '../base/errors.ts'
import { isMlxConfig, readAdapterConfig } from '../adapters/files/peft.ts'
import { openDirectory } from './files/folder.ts'
import { isModelfileName, readModelfile } from './models/modelfile.ts'

export interface AdapterSource {
  /** 'peft' is read without a model, the others need one. */
  readonly format: 'peft' | 'mlx' | 'gguf'
  /** The folder, or the GGUF file. */
  readonly path: string
  /** The base that a Modelfile or mlx-lm's configuration names. */
  readonly base?: string
  /** The adapter's kind, where mlx-lm's configuration names it. */
  readonly kind?: string
  /** Instructions of a Modelfile that are ignored. */
  readonly leftOut?: readonly string[]
}

const adapterFile = /^adapter(_config\.json|_model\..*safetensors|s\.safetensors)$/

/**
 * Finds the adapter at a path. A file of an adapter's folder selects the folder. Throws
 * NotFoundError if there is none.
 */
export async function findAdapterSource(path: string): Promise<AdapterSource> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() && path.endsWith('.gguf')) return { format: 'gguf', path }
  if (found?.isFile() && isModelfileName(path)) return findInModelfile(path)
  if (found?.isFile() && adapterFile.test(basename(path))) return findAdapterSource(dirname(path))
  if (found?.isFile())
    throw new NotFoundError(
      `${path}: got a file, expected an adapter: a folder as PEFT or mlx-lm saves it, a .gguf file or a Modelfile with ADAPTER.`,
    )
  const json = await readAdapterConfig(await openDirectory(path))
  if (!isMlxConfig(json)) return { format: 'peft', path }
  const { model: base, fine_tune_type: kind } = json
  return {
    format: 'mlx',
    path,
    ...(typeof base === 'string' && { base }),
    ...(typeof kind === 'string' && { kind }),
  }
}

async function findInModelfile(path: string): Promise<AdapterSource> {
  const { adapter, base, leftOut } = await readModelfile(path)
  if (adapter === undefined)
    throw new NotFoundError(
      `${path}: has no ADAPTER line. Give it with --model to answer with the base that it names.`,
    )
  return { ...(await findAdapterSource(adapter)), base, leftOut }
}
