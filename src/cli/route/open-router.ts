// Opens a router of a file for commands: with its base if it reads prompts by one.

import { listRoutedExperts } from '../../node/route/list-experts.ts'
import { readRouterFile } from '../../node/route/router-path.ts'
import { createRouter } from '../../route/create-router.ts'
import type { BaseEmbedder } from '../../route/features/base-embedder.ts'
import { findEncoderName, needsBase } from '../../route/features/embedder-settings.ts'
import type { RouterFile } from '../../route/router-file.ts'
import type { Router } from '../../route/router.ts'
import { openModel, showDownloads } from '../shared/open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface RouterValues {
  readonly model?: string | undefined
  readonly experts?: string | undefined
  readonly threads?: number | undefined
  readonly weights?: 'file' | 'f32' | 'q4' | 'q8' | undefined
}

export interface OpenedRouter {
  readonly router: Router
  readonly file: RouterFile
  readonly sizeBytes: number
  close(): Promise<void>
}

/** The sentence encoder that a router reads prompts by, with a progress line for its download. */
export async function openNamedEncoder(
  source: string,
  { threads }: RouterValues,
  terminal: Terminal,
): Promise<BaseEmbedder> {
  const { openTextEncoder } = await import('../../node/route/open-encoder.ts')
  const downloads = showDownloads(terminal)
  const encoder = await openTextEncoder(source, { threads, onProgress: downloads.update })
  downloads.end()
  return encoder
}

/** Throws NotFoundError, FormatError, MismatchError for other experts or another base. */
export async function openRouter(
  path: string,
  values: RouterValues,
  terminal: Terminal,
): Promise<OpenedRouter> {
  const { file, sizeBytes } = await readRouterFile(path)
  const experts = values.experts === undefined ? undefined : await listRoutedExperts(values.experts)
  const source = values.model ?? (needsBase(file) ? file.base?.id : undefined)
  const name = findEncoderName(file)
  const embedder = name === undefined ? undefined : await openNamedEncoder(name, values, terminal)
  const model = source === undefined ? undefined : await openModel(source, values, terminal)
  const close = async (): Promise<void> => {
    await embedder?.dispose()
    await model?.dispose()
  }
  try {
    const router = await createRouter({
      file,
      ...(model && { model }),
      ...(embedder && { embedder }),
      ...(experts && { experts }),
    })
    return { router, file, sizeBytes, close }
  } catch (error) {
    await close()
    throw error
  }
}
