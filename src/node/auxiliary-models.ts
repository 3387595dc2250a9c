// Teachers and references by path: opens and closes the models and adapters that a training run
// uses besides the trained model.

import type { Adapter } from '../adapters/adapter.ts'
import type { TrainOptions } from '../train/options/options.ts'
import type { TrainableModel } from '../train/programs/trainable-model.ts'
import { loadAdapter } from './adapters.ts'
import { loadModel } from './model.ts'

/**
 * An adapter or a mixture of them on the model that is trained, or another model of the same
 * vocabulary, with or without an adapter.
 */
export interface TeacherFiles {
  readonly adapter?: string | Adapter | undefined
  readonly mixture?:
    readonly { readonly adapter: string | Adapter; readonly weight: number }[] | undefined
  /** A model, or what `loadModel` takes. */
  readonly model?: string | TrainableModel | undefined
}

const resolveAdapter = async (
  adapter: string | Adapter,
  model: TrainableModel,
): Promise<Adapter> => (typeof adapter === 'string' ? loadAdapter(adapter, { model }) : adapter)

interface Auxiliary {
  readonly teacher: TeacherFiles | undefined
  readonly reference: string | Adapter | undefined
}

/**
 * What training needs of them; `trained` is the model that adapters are read for if they name no
 * other. Throws what `loadAdapter` and `loadModel` throw.
 */
export async function openAuxiliaryModels(
  { teacher, reference }: Auxiliary,
  trained: TrainableModel,
): Promise<{ options: Pick<TrainOptions, 'teacher' | 'reference'>; close(): Promise<void> }> {
  const { adapter, mixture, model } = teacher ?? {}
  const opened = typeof model === 'string' ? await loadModel(model) : undefined
  try {
    const loaded = opened ?? (model as TrainableModel | undefined)
    const own = loaded ?? trained
    const parts = {
      ...(adapter !== undefined && { adapter: await resolveAdapter(adapter, own) }),
      ...(mixture && {
        mixture: await Promise.all(
          mixture.map(async (one) => ({
            adapter: await resolveAdapter(one.adapter, own),
            weight: one.weight,
          })),
        ),
      }),
    }
    return {
      options: {
        ...(reference !== undefined && { reference: await resolveAdapter(reference, trained) }),
        ...(teacher && { teacher: { ...parts, ...(loaded && { model: loaded }) } }),
      },
      close: async () => opened?.dispose(),
    }
  } catch (error) {
    await opened?.dispose()
    throw error
  }
}
