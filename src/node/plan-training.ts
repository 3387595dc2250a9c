// The plan of a training run from files: what it will take, before it starts. Nothing is written.

import { planTraining as plan, type TrainPlan } from '../train/estimate/estimate.ts'
import { loadAdapter } from './adapters.ts'
import { openAuxiliaryModels } from './auxiliary-models.ts'
import { loadModel } from './model.ts'
import { resolveEwcOptions, openDataParts, type TrainFilesOptions } from './train.ts'

/**
 * What `train` with these options will need at its peak and how long it will take. Reads data and
 * base and refuses them as `train` does; `out`, `resume` and `overwrite` are not looked at.
 */
export async function planTraining(options: TrainFilesOptions): Promise<TrainPlan> {
  const {
    model: named,
    data,
    validation,
    validateEverySteps,
    adapter,
    ewc,
    teacher,
    reference,
    ...others
  } = options
  const {
    out: _out,
    resume: _resume,
    overwrite: _overwrite,
    saveEverySteps: _saveEverySteps,
    ...rest
  } = others
  const protection =
    ewc && (await resolveEwcOptions(ewc, typeof adapter === 'string' ? adapter : undefined))
  const parts = await openDataParts(data, validation, rest.seed ?? 0)
  const companions = await openAuxiliaryModels(teacher, reference)
  try {
    const model = typeof named === 'string' ? await loadModel(named) : named
    try {
      return await plan({
        ...rest,
        ...companions.options,
        model,
        data: parts.data,
        ...(protection && { ewc: protection }),
        adapter:
          typeof adapter === 'string'
            ? await loadAdapter(adapter)
            : (adapter ?? { kind: 'lora', config: { targets: 'all-linear' } }),
        ...(parts.validation && {
          validation: {
            data: parts.validation,
            ...(validateEverySteps !== undefined && { everySteps: validateEverySteps }),
          },
        }),
      })
    } finally {
      if (typeof named === 'string') await model.dispose()
    }
  } finally {
    await companions.close()
  }
}
