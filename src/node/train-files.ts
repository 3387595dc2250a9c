// The options of training from files, and the options of `train` that they become: models, adapters
// and data opened by path or name.

import type { Adapter } from '../adapters/adapter.ts'
import { createOpaqueField } from '../base/opaque-field.ts'
import { type Field, flag, isRecord, object, string, withoutOptions } from '../base/schema.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { EwcOptions } from '../train/ewc/options.ts'
import { ewcOptionTable } from '../train/ewc/options.ts'
import { loadEwcState, requireEwcState } from '../train/ewc/state.ts'
import {
  adapterField,
  type CheckpointOptions,
  checkpointTable,
  createAdapterField,
  createTeacherField,
  createValidationField,
  findTrainOptionProblems,
  type FreshAdapter,
  modelField,
  type TrainOptions,
  trainOptionTable,
} from '../train/options/options.ts'
import { reportProblems } from '../train/options/settings.ts'
import {
  createDataField,
  resolveValidation,
  type ValidationInput,
  type ValidationOptions,
} from '../train/options/train-data.ts'
import type { TrainableModel } from '../train/programs/trainable-model.ts'
import { findAdapterSource } from './adapter-source.ts'
import { loadAdapter } from './adapters.ts'
import { openAuxiliaryModels, type TeacherFiles } from './auxiliary-models.ts'
import { type DataInput, openData } from './data.ts'
import { openDirectory } from './files/folder.ts'
import { loadModel } from './model.ts'
import { getBaseName } from './models/base-name.ts'
import { checkOutFolder, openCheckpoint } from './run-folder.ts'

export interface EwcFilesOptions extends EwcOptions {
  /**
   * A folder with the state of earlier tasks (ewc.safetensors), in place of `state`; the default is
   * the folder of `adapter`.
   */
  readonly from?: string | undefined
}

type Replaced =
  'model' | 'adapter' | 'data' | 'validation' | 'checkpoint' | 'ewc' | 'teacher' | 'reference'

/** The options of `train` of graftlm, with paths and names where it takes values, and a folder. */
export interface TrainFilesOptions extends Omit<TrainOptions, Replaced> {
  /** A model, or what `loadModel` takes. */
  readonly model: string | TrainableModel
  /** A folder or an adapter to train on, or the kind and options of a fresh one. */
  readonly adapter?: string | Adapter | FreshAdapter | undefined
  readonly data: DataInput
  /** A share of `data` to hold back (0.1), separate rows, or either with `everySteps`. */
  readonly validation?: ValidationInput<DataInput> | undefined
  /** With `out`, checkpoints go into that folder: give `everySteps` alone, or nothing. */
  readonly checkpoint?: Partial<CheckpointOptions> | undefined
  /**
   * Protects earlier tasks; the state that protects this one is written into `out` with the adapter
   * (ewc.safetensors).
   */
  readonly ewc?: EwcFilesOptions | undefined
  /** What the loss 'distillation' imitates. */
  readonly teacher?: TeacherFiles | undefined
  /** A folder or an adapter as the reference of losses over pairs, in place of the base alone. */
  readonly reference?: string | Adapter | undefined
  /** The folder that the adapter is written into; without it nothing is written. */
  readonly out?: string | undefined
  /** Resume from the checkpoint in `out`: the weights are those of an uninterrupted run. */
  readonly resume?: boolean | undefined
  /** Replace the files of an earlier run in `out`. */
  readonly overwrite?: boolean | undefined
  /** The licence of the data, for expert.json. */
  readonly dataLicense?: string | undefined
  /** The command that was typed, for expert.json. */
  readonly command?: string | undefined
}

const isPath = (value: unknown): boolean => typeof value === 'string' && value !== ''
/** The field, for a path too. */
const allowPath = <Value>(field: Field, what: string): Field<Value> =>
  createOpaqueField<Value>(
    `${what}, or ${field.expected}`,
    (value) => isPath(value) || field.is(value),
  )

const filesData = createDataField<DataInput>(
  'a path to a file of rows, several of them, rows in memory, or a data set',
  isPath,
)
const adapterFile = allowPath<string | Adapter>(adapterField, 'a folder')
const modelFile = allowPath<string | TrainableModel>(modelField, 'a path or a name')

/** Every option of `train` of graftlm/node, by name. */
const trainFilesTable = {
  ...withoutOptions(trainOptionTable, 'checkpoint'),
  model: modelFile,
  adapter: createAdapterField('a folder, ', isPath),
  data: filesData,
  validation: createValidationField(filesData),
  checkpoint: object(checkpointTable),
  ewc: object({ ...ewcOptionTable, from: string({ filled: true }) }),
  teacher: createTeacherField(adapterFile, modelFile),
  reference: adapterFile,
  out: string({ filled: true }),
  resume: flag(),
  overwrite: flag(),
  dataLicense: string({ filled: true }),
  command: string({ filled: true }),
}

function checkFileOptions(options: TrainFilesOptions): void {
  const problems = findTrainOptionProblems(options, trainFilesTable)
  if (isRecord(options)) {
    const { out, resume, checkpoint, ewc } = options
    if (out === undefined && resume)
      problems.push('resume: needs out, the folder of the earlier run')
    if (out === undefined && checkpoint && !checkpoint.sink)
      problems.push('checkpoint: needs out, a folder to write to')
    if (out !== undefined && (checkpoint?.sink ?? checkpoint?.source))
      problems.push(
        'checkpoint: with out, checkpoints are in its folder; leave out sink and source',
      )
    if (ewc?.from !== undefined && ewc.state) problems.push('ewc: give state or from, not both')
  }
  reportProblems('Training options', problems)
}

/** Options of `train` of graftlm, and what must be closed after the run. */
export interface OpenedOptions {
  readonly options: TrainOptions
  /** The name with which the base was requested. */
  readonly source: string
  /** The path of its weights; undefined if the caller's model has none. */
  readonly place: string | undefined
  close(): Promise<void>
}

/** Opens everything that is named by a path. Throws what the checks and the loaders throw. */
export async function openTrainOptions(given: TrainFilesOptions): Promise<OpenedOptions> {
  checkFileOptions(given)
  const { out, teacher, reference } = given
  if (out !== undefined) await checkOutFolder(out, given)
  const read = await readInputs(given)
  const { model, source, place, close } = await openModel(given.model)
  try {
    const adapter = await openAdapter(given.adapter, model)
    const auxiliary = await openAuxiliaryModels({ teacher, reference }, model)
    return {
      source,
      place,
      options: { ...selectPlainOptions(given), ...read, ...adapter, ...auxiliary.options, model },
      close: async () => {
        await auxiliary.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The adapter to train on, read for the model where its format needs one. */
const openAdapter = async (
  adapter: TrainFilesOptions['adapter'],
  model: TrainableModel,
): Promise<Pick<TrainOptions, 'adapter'>> => {
  if (adapter === undefined) return {}
  return { adapter: typeof adapter === 'string' ? await loadAdapter(adapter, { model }) : adapter }
}

/** The options that are the same here and in graftlm. */
function selectPlainOptions(given: TrainFilesOptions) {
  const { out: _out, resume: _resume, overwrite: _overwrite, ...others } = given
  const { checkpoint: _checkpoint, ewc: _ewc, teacher: _teacher, reference: _r, ...rest } = others
  const { model: _model, data: _data, adapter: _adapter, validation: _v, ...settings } = rest
  const { dataLicense: _license, command: _command, ...plain } = settings
  return plain
}

/** Data, checkpoints and the state of earlier tasks: what needs no model. */
async function readInputs(given: TrainFilesOptions) {
  const { data, adapter, ewc, out, resume = false } = given
  const validation = resolveValidation<DataInput>(given.validation)
  const { sink, source, everySteps } = given.checkpoint ?? {}
  const ownCheckpoint = sink && { sink, everySteps, ...(source && { source }) }
  const checkpoint =
    out === undefined
      ? ownCheckpoint
      : await openCheckpoint(out, { resume, ...(everySteps !== undefined && { everySteps }) })
  return {
    data: await openData(data),
    ...(validation && { validation: await openValidation(validation) }),
    ...(checkpoint && { checkpoint }),
    ...(ewc && {
      ewc: await resolveEwcOptions(ewc, typeof adapter === 'string' ? adapter : undefined),
    }),
  }
}

const openValidation = async ({ data, everySteps }: ValidationOptions<DataInput>) => ({
  data: typeof data === 'number' ? data : await openData(data),
  everySteps,
})

/** The model under the name that the adapter's configuration has for its base. */
async function openModel(given: TrainFilesOptions['model']) {
  const opened = typeof given === 'string' ? await loadModel(given) : undefined
  const model = opened ?? (given as TrainableModel)
  const source = 'source' in model ? String(model.source) : undefined
  const name = source === undefined ? model.base.name : getBaseName(source)
  return {
    model: { ...model, base: { ...model.base, name } },
    source: source ?? name,
    place: 'weights' in model.base ? (model.base as BaseModel).weights.name : undefined,
    close: async (): Promise<void> => opened?.dispose(),
  }
}

/**
 * The state of earlier tasks: the given one, the one in the named folder, where it must exist, or
 * the one in the folder of the adapter that is trained further.
 */
async function resolveEwcOptions(
  { from, ...rest }: EwcFilesOptions,
  adapter: string | undefined,
): Promise<EwcOptions> {
  const folder = from ?? (await findAdapterFolder(adapter))
  if (folder === undefined || rest.state) return rest
  const read = from === undefined ? loadEwcState : requireEwcState
  const state = await read(await openDirectory(folder))
  return { ...rest, ...(state && { state }) }
}

/** The folder of an adapter; a GGUF file has no own folder. */
async function findAdapterFolder(adapter: string | undefined): Promise<string | undefined> {
  if (adapter === undefined) return undefined
  const { format, path } = await findAdapterSource(adapter)
  return format === 'gguf' ? undefined : path
}
