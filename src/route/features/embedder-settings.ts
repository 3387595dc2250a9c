// How the prompts of a router's file were read: by layers of the base, or by a sentence encoder.

import { isRecord } from '../../base/schema.ts'
import type { RouterFile } from '../router-file.ts'

/** Routers within a router's file. */
function listInner({ state }: RouterFile): RouterFile[] {
  const { stages, top, router } = (isRecord(state) ? state : {}) as {
    readonly stages?: readonly { readonly router: RouterFile }[]
    readonly top?: RouterFile
    readonly router?: RouterFile
  }
  return [...(stages?.map((stage) => stage.router) ?? []), top, router].filter(
    (file) => file !== undefined,
  )
}

/** The settings that a file, or a part of it, was trained with; undefined: it needs no vectors. */
export function findEmbedderSettings(
  file: RouterFile,
): Readonly<Record<string, unknown>> | undefined {
  if (file.embedder?.settings) return file.embedder.settings
  return listInner(file)
    .map(findEmbedderSettings)
    .find((settings) => settings !== undefined)
}

/** The name of the sentence encoder; undefined: prompts are read by the base, or by words. */
export function findEncoderName(file: RouterFile): string | undefined {
  const name = findEmbedderSettings(file)?.['encoder']
  return typeof name === 'string' ? name : undefined
}

/** Whether prompts are read by the base, in the file or in a part of it. */
export const needsBase = (file: RouterFile): boolean =>
  (file.embedder !== undefined && typeof file.embedder.settings?.['encoder'] !== 'string') ||
  file.kind === 'arrow' ||
  file.kind === 'classifier' ||
  listInner(file).some(needsBase)
