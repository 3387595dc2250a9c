// The options of training in a browser, and their conversion to the options of `train`.

import type { Adapter } from '../adapters/adapter.ts'
import { createOpaqueField } from '../base/opaque-field.ts'
import { either, flag, isRecord, object, oneOf, withoutOptions } from '../base/schema.ts'
import { getBaseName } from '../catalogue/base-names.ts'
import {
  type CheckpointOptions,
  checkpointTable,
  createAdapterField,
  createValidationField,
  findTrainOptionProblems,
  type FreshAdapter,
  type TrainOptions,
  trainOptionTable,
} from '../train/options/options.ts'
import { reportProblems } from '../train/options/settings.ts'
import {
  createDataField,
  resolveValidation,
  type ValidationInput,
} from '../train/options/train-data.ts'
import type { TrainableModel } from '../train/programs/trainable-model.ts'
import { loadAdapter } from './adapters.ts'
import { isDataFile, openData, type WebDataInput } from './data.ts'
import { loadModel } from './model.ts'
import { openCheckpoint, type OutFolder } from './out-folder.ts'
import { isWebSource, type WebSource } from './sources/open-source.ts'
import { isDirectoryHandle, isOpfsPath } from './sources/opfs.ts'

type Replaced = 'model' | 'adapter' | 'data' | 'validation' | 'checkpoint'

/**
 * The options of `train` of graftlm, with URLs, files and `opfs:…`, and a folder for the results.
 */
export interface TrainWebOptions extends Omit<TrainOptions, Replaced> {
  /** A model, or a source that `loadModel` accepts. */
  readonly model: WebSource | TrainableModel
  /**
   * An adapter to continue from, or a source that `loadAdapter` accepts, or the kind and options of
   * a new one.
   */
  readonly adapter?: WebSource | Adapter | FreshAdapter | undefined
  readonly data: WebDataInput
  /** A share of `data` to hold back (0.1), separate rows, or either with `everySteps`. */
  readonly validation?: ValidationInput<WebDataInput> | undefined
  /** With `out`, checkpoints go into that folder: give `everySteps` alone, or nothing. */
  readonly checkpoint?: Partial<CheckpointOptions> | undefined
  /** `opfs:experts/mine`, or a folder that the user has opened; without it nothing is written. */
  readonly out?: string | FileSystemDirectoryHandle | undefined
  /**
   * Resume from the checkpoint in `out`: the weights are those of an uninterrupted run. 'auto': if
   * there is one.
   */
  readonly resume?: boolean | 'auto' | undefined
  /** Replace the files of an earlier run in `out`. */
  readonly overwrite?: boolean | undefined
}

const filesData = createDataField<WebDataInput>(
  'rows in memory, a data set, or a file of rows (URL, File, opfs:…)',
  isDataFile,
)
const isModel = (value: unknown): boolean => trainOptionTable.model.is(value) || isWebSource(value)

const trainWebTable = {
  ...withoutOptions(trainOptionTable, 'checkpoint'),
  model: createOpaqueField<WebSource | TrainableModel>(
    'a model, or a source as loadModel takes it',
    isModel,
  ),
  adapter: createAdapterField('a source as loadAdapter takes it, ', isWebSource),
  data: filesData,
  validation: createValidationField(filesData),
  checkpoint: object(checkpointTable),
  out: createOpaqueField<string | FileSystemDirectoryHandle>(
    'opfs: and a path, or a handle of a folder',
    (value) => isDirectoryHandle(value) || (typeof value === 'string' && isOpfsPath(value)),
  ),
  resume: either(flag({}), oneOf(['auto'])),
  overwrite: flag(),
}

function checkWebOptions(options: TrainWebOptions): void {
  const problems = findTrainOptionProblems(options, trainWebTable)
  if (isRecord(options)) {
    const { out, resume, checkpoint } = options
    if (out === undefined && resume !== undefined && resume !== false)
      problems.push('resume: needs out, the folder of the earlier run')
    if (out === undefined && checkpoint && !checkpoint.sink)
      problems.push('checkpoint: needs out, a folder to write to')
    if (out !== undefined && (checkpoint?.sink ?? checkpoint?.source))
      problems.push(
        'checkpoint: with out, checkpoints are in its folder; leave out sink and source',
      )
  }
  reportProblems('Training options', problems)
}

/** Options of `train` of graftlm, and what must be closed after the run. */
export interface OpenedTraining {
  readonly options: TrainOptions
  close(): Promise<void>
}

/** Opens all sources. Throws what the checks and the loaders throw. */
export async function openTrainOptions(
  given: TrainWebOptions,
  out: OutFolder | undefined,
): Promise<OpenedTraining> {
  checkWebOptions(given)
  const { model: from, adapter: start, data, validation, checkpoint: own, ...others } = given
  const { out: _out, resume: _resume, overwrite: _overwrite, ...settings } = others
  const held = resolveValidation<WebDataInput>(validation)
  const checkpoint = out
    ? await openCheckpoint(out, own?.everySteps)
    : (own as CheckpointOptions | undefined)
  const read = {
    data: await openData(data),
    ...(checkpoint && { checkpoint }),
    ...(held && {
      validation: {
        everySteps: held.everySteps,
        data: typeof held.data === 'number' ? held.data : await openData(held.data),
      },
    }),
  }
  const { model, close } = await openModel(from)
  try {
    const adapter =
      isWebSource(start) && !isFresh(start) ? await loadAdapter(start, { model }) : start
    const options = { ...settings, ...read, ...(adapter && { adapter }), model } as TrainOptions
    return { options, close }
  } catch (error) {
    await close()
    throw error
  }
}

const isFresh = (adapter: unknown): boolean =>
  isRecord(adapter) && ('kind' in adapter || 'tensors' in adapter)

/** The model, with the base's name in the adapter's configuration. */
async function openModel(given: TrainWebOptions['model']) {
  const isOpen = trainOptionTable.model.is(given)
  const opened = isOpen ? undefined : await loadModel(given as WebSource)
  const model: TrainableModel = opened ?? (given as TrainableModel)
  const name = 'source' in model ? getBaseName(String(model.source)) : model.base.name
  return {
    model: { ...model, base: { ...model.base, name } },
    close: async (): Promise<void> => opened?.dispose(),
  }
}
