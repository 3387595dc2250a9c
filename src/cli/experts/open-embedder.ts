// The base whose states are the vectors of a search by meaning: --model, or the default one.

import type { Embedder } from '../../registry/meaning.ts'
import { defaultModel, openDefaultModel, openModel } from '../shared/open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface OpenedEmbedder {
  readonly embedder: Embedder
  close(): Promise<void>
}

/** Throws NotFoundError if the base cannot be loaded. */
export async function openEmbedder(
  source: string | undefined,
  terminal: Terminal,
): Promise<OpenedEmbedder> {
  const given = { date: undefined, weights: undefined, threads: undefined }
  const options = Object.assign({ 'rope-scaling': undefined }, given)
  const model = await (source === undefined
    ? openDefaultModel(options, terminal)
    : openModel(source, options, terminal))
  const { createModelEmbedder } = await import('../../registry/meaning.ts')
  const name = source ?? defaultModel
  return {
    embedder: createModelEmbedder(name.includes('/') ? model.base.name : name, model),
    close: () => model.dispose(),
  }
}
