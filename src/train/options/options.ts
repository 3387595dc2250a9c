// The options of a training run: their types, and the table that checks them. Unknown names and
// wrong values of all options are reported in one error.

import type { Adapter } from '../../adapters/adapter.ts'
import { isTensorMap } from '../../adapters/packed/tensor-map.ts'
import { roles } from '../../adapters/roles.ts'
import {
  createField,
  either,
  type Field,
  findOptionProblems,
  flag,
  isRecord,
  listOf,
  number,
  object,
  oneOf,
  positiveInteger,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { type EwcOptions, ewcOptionTable } from '../ewc/options.ts'
import type { Exchange } from '../exchange.ts'
import type { SharedPrograms } from '../programs/shared-programs.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { createOpaqueField } from '../../base/opaque-field.ts'
import { type AdapterDescription, descriptionTable } from './description.ts'
import { trainSettingTable } from './setting-table.ts'
import { createDataField, type TrainData, type ValidationInput } from './train-data.ts'

/** Where checkpoints go, and where a run resumes from. */
export interface CheckpointOptions {
  readonly sink: ByteSink
  /** Where earlier checkpoints are looked for; without it the run starts again. */
  readonly source?: ByteFolder
  /** Steps between checkpoints; the last step is always saved. */
  readonly everySteps?: number | undefined
}

/**
 * The model that is imitated: an adapter or a mixture on the trained model, or another model of the
 * same vocabulary, with or without an adapter.
 */
export interface Teacher {
  readonly adapter?: Adapter
  readonly mixture?: readonly { readonly adapter: Adapter; readonly weight: number }[]
  readonly model?: TrainableModel
}

/** The kind and options of an adapter that is created when the run starts. */
export interface FreshAdapter {
  /** One kind, or several that act together: ['ia3', 'prompt-tuning']. */
  readonly kind: string | readonly string[]
  /** A role of `roles`: its rank, alpha and targets apply unless `config` sets them. */
  readonly role?: string
  readonly config?: Readonly<Record<string, unknown>>
}

/** Without `adapter`, a LoRA on all linear layers is trained. */
export const defaultAdapter = { kind: 'lora', config: { targets: 'all-linear' } } as const

/** The settings of the table, each of which may be left out; undefined counts as left out. */
export type SettingOptions = {
  readonly [Name in keyof typeof trainSettingTable]?:
    ValueOf<(typeof trainSettingTable)[Name]> | undefined
}

export interface TrainOptions extends SettingOptions {
  readonly model: TrainableModel
  /** An adapter to train on, or the kind and options of a fresh one; see `defaultAdapter`. */
  readonly adapter?: Adapter | FreshAdapter
  readonly data: TrainData
  readonly validation?: ValidationInput | undefined
  readonly checkpoint?: CheckpointOptions
  /** The adapter's description: name, description, tags, version, author, license. */
  readonly metadata?: AdapterDescription | undefined
  /**
   * Protects the weights that matter for earlier tasks, and measures at the end those that matter
   * for this one. LoRA only.
   */
  readonly ewc?: EwcOptions | undefined
  /** For the loss 'distillation'. */
  readonly teacher?: Teacher | undefined
  /**
   * For losses over pairs with a reference: an adapter as the reference in place of the base alone.
   */
  readonly reference?: Adapter | undefined
  /** Programs of `createSharedPrograms()`, for runs over one base that follow one another. */
  readonly programs?: SharedPrograms
  /**
   * The other replicas of the run, each of which has the same options in its own process: the
   * step's shards are distributed over them. Only replica 0 should write; see docs/replicas.md.
   */
  readonly exchange?: Exchange | undefined
  /** Stops the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal
  /** Milliseconds, for speed and time left. */
  readonly now?: () => number
  /** The date for chat templates that print it. A run that resumes keeps its checkpoint's date. */
  readonly date?: Date
  /**
   * Also accepts adapters, to continue from or to compare with, that were trained on weights of
   * another hash, such as another quantisation of the model.
   */
  readonly anyBase?: boolean | undefined
}

const isAdapter = (value: unknown): boolean => isRecord(value) && isTensorMap(value['tensors'])
export const adapterField = createOpaqueField<Adapter>('an adapter', isAdapter)

const freshAdapterTable = {
  kind: either(string({ filled: true }), listOf(string({ filled: true }))),
  role: oneOf([...roles.keys()]),
  config: record,
}

/** An adapter, or the kind and options of a fresh one; `others`: further forms, as text. */
export function createAdapterField<Value>(
  others = '',
  isOther: (value: unknown) => boolean = () => false,
): Field<Value> {
  const expected = `${others}an adapter, or { kind, config } for a fresh one`
  const opaque = createOpaqueField<Value>(expected, (value) => isRecord(value) && 'kind' in value)
  const findProblems = (value: unknown, name: string): string[] => {
    if (isAdapter(value) || isOther(value)) return []
    if (!isRecord(value) || !('kind' in value)) return opaque.findProblems(value, name)
    return findOptionProblems(value, freshAdapterTable, `${name}.`)
  }
  return { ...opaque, findProblems }
}

export const modelField = createOpaqueField<TrainableModel>(
  'a model, as loadModel of graftlm/node opens it',
  (value) => isRecord(value) && isRecord(value['base']) && typeof value['weights'] === 'function',
)

/** A teacher, whose adapters and model may be given in the forms of these fields. */
export const createTeacherField = (adapter: Field, model: Field) => {
  const member = object({ adapter, weight: number() })
  const mixture = createField(
    'a list of { adapter, weight }',
    {},
    (value) => Array.isArray(value) && value.every((one) => member.is(one)),
  )
  return object({ adapter, mixture, model })
}

/** Validation data of this field, alone or with `everySteps`. */
export function createValidationField<Value>(data: Field): Field<Value> {
  const isShare = (value: unknown): boolean => typeof value === 'number'
  const both: Field = {
    ...data,
    findProblems: (value, name) => (isShare(value) ? [] : data.findProblems(value, name)),
  }
  const options = { data: both, everySteps: positiveInteger }
  const expected = `a share of the data, ${data.expected}, or { data, everySteps }`
  const field = createOpaqueField<Value>(expected, () => true)
  const findProblems = (value: unknown, name: string): string[] => {
    const hasOptions = isRecord(value) && !('rows' in value) && !('level' in value)
    if (!hasOptions) return both.findProblems(value, name)
    const missing = 'data' in value ? [] : [`${name}.data: got nothing, expected ${data.expected}`]
    return [...missing, ...findOptionProblems(value, options, `${name}.`)]
  }
  return { ...field, findProblems }
}

const hasMethod =
  (name: string) =>
  (value: unknown): boolean =>
    typeof (value as Record<string, unknown> | null)?.[name] === 'function'

/** Fields of `checkpoint`. */
export const checkpointTable = {
  sink: createOpaqueField<ByteSink>('a byte sink', hasMethod('write')),
  source: createOpaqueField<ByteFolder>('a byte folder', hasMethod('open')),
  everySteps: positiveInteger,
}

/** Checkpoints of a run without a folder need a sink. */
function createCheckpointField(): Field<CheckpointOptions> {
  const field = object(checkpointTable)
  const findProblems = (value: unknown, name: string): string[] => [
    ...field.findProblems(value, name),
    ...(isRecord(value) && value['sink'] === undefined
      ? [`${name}.sink: got nothing, expected a byte sink`]
      : []),
  ]
  return { ...field, findProblems } as unknown as Field<CheckpointOptions>
}

const dataField = createDataField<TrainData>()

/** Every option of `train`, by name. */
export const trainOptionTable = {
  ...trainSettingTable,
  model: modelField,
  adapter: createAdapterField<Adapter | FreshAdapter>(),
  data: dataField,
  validation: createValidationField<ValidationInput>(dataField),
  checkpoint: createCheckpointField(),
  metadata: object(descriptionTable),
  ewc: object(ewcOptionTable),
  teacher: createTeacherField(adapterField, modelField),
  reference: adapterField,
  programs: createOpaqueField<SharedPrograms>('createSharedPrograms()', hasMethod('take')),
  exchange: createOpaqueField<Exchange>('an exchange between replicas', hasMethod('meet')),
  signal: createOpaqueField<AbortSignal>(
    'an AbortSignal',
    (value) => typeof (value as AbortSignal | null)?.aborted === 'boolean',
  ),
  now: createOpaqueField<() => number>('a function', (value) => typeof value === 'function'),
  date: createOpaqueField<Date>('a Date', (value) => value instanceof Date),
  anyBase: flag(),
} satisfies Readonly<Record<keyof TrainOptions, Field>>

/** A line for each of these options that was not given. */
export const findMissingOptions = (
  options: object,
  table: Readonly<Record<string, Field>>,
  names: readonly string[],
): string[] =>
  names
    .filter((name) => (options as Readonly<Record<string, unknown>>)[name] === undefined)
    .map((name) => `${name}: got nothing, expected ${table[name]!.expected}`)

/**
 * Problems of the options that can be found without other input: unknown names, wrong or missing
 * values.
 */
export const findTrainOptionProblems = (
  options: object,
  table: Readonly<Record<string, Field>> = trainOptionTable,
): string[] => [
  ...findOptionProblems(isRecord(options) ? options : {}, table),
  ...findMissingOptions(options ?? {}, table, ['model', 'data']),
]
