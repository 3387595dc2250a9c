// Teachers and references by path: what a training run asks beside the model that it trains, opened
// and closed again.

import type { Adapter } from '../adapters/adapter.ts'
import type { TrainOptions } from '../train/options/options.ts'
import { loadAdapter } from './adapters.ts'
import { type LoadedModel, loadModel } from './model.ts'

/**
 * An adapter or a mixture of them on the model that is trained, or another model of the same
 * vocabulary, with or without an adapter.
 */
export interface TeacherFiles {
  readonly adapter?: string | Adapter | undefined
  readonly mixture?:
    readonly { readonly adapter: string | Adapter; readonly weight: number }[] | undefined
  /** A model, or what `loadModel` takes. */
  readonly model?: string | LoadedModel | undefined
}

const resolveAdapter = async (adapter: string | Adapter): Promise<Adapter> =>
  typeof adapter === 'string' ? loadAdapter(adapter) : adapter

/** What training takes of them. Throws what `loadAdapter` and `loadModel` throw. */
export async function openAuxiliaryModels(
  teacher: TeacherFiles | undefined,
  reference: string | Adapter | undefined,
): Promise<{ options: Pick<TrainOptions, 'teacher' | 'reference'>; close(): Promise<void> }> {
  const { adapter, mixture, model } = teacher ?? {}
  const parts = {
    ...(adapter !== undefined && { adapter: await resolveAdapter(adapter) }),
    ...(mixture && {
      mixture: await Promise.all(
        mixture.map(async (one) => ({
          adapter: await resolveAdapter(one.adapter),
          weight: one.weight,
        })),
      ),
    }),
  }
  const compared = reference === undefined ? {} : { reference: await resolveAdapter(reference) }
  const loaded = typeof model === 'string' ? await loadModel(model) : model
  return {
    options: {
      ...compared,
      ...(teacher && { teacher: { ...parts, ...(loaded && { model: loaded }) } }),
    },
    async close() {
      if (typeof model === 'string') await loaded?.dispose()
    },
  }
}
