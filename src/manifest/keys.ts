// The keys of a manifest as tables: what each may hold, and a sentence that editors show. Rows of
// other tables (kinds, schedules, optimisers, formats, metrics) are handed in, so that a new one is
// known here without a change.

import {
  createField,
  either,
  type Field,
  type Fields,
  flag,
  integer,
  listOf,
  oneOf,
  positiveInteger,
  string,
  withoutOptions,
} from '../base/schema.ts'

/** A key's value, and what it is for. */
export interface ManifestKey {
  readonly field: Field
  readonly about: string
  readonly required?: boolean
}
export type ManifestKeys = Readonly<Record<string, ManifestKey>>

/** A row that a manifest may choose by its name, with options of its own. */
export interface ChoiceEntry {
  readonly about?: string
  readonly options: ManifestKeys
}
export type ChoiceTable = ReadonlyMap<string, ChoiceEntry>

/** What there is to choose from. */
export interface ManifestTables {
  readonly kinds: ReadonlyMap<string, { readonly options: Fields }>
  /** Names of sets of modules. */
  readonly targets: readonly string[]
  readonly formats: readonly string[]
  readonly schedules: ChoiceTable
  readonly optimizers: ChoiceTable
  readonly losses: ChoiceTable
  /** The settings of a run by the section they stand in. */
  readonly settings: Readonly<Record<'batch' | 'schedule' | 'optimizer' | 'top', ManifestKeys>>
  readonly metrics: readonly string[]
  readonly ewc: ManifestKeys
}

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value)

const heldShare = createField<number>(
  'a share above 0 and below 1',
  { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  (value) => isNumber(value) && value > 0 && value < 1,
)
const integerFromTwo = integer({ from: 2 })
const nonEmptyString = string({ filled: true })
const createNonEmptyList = <Value>(each: Field<Value>): Field<readonly Value[]> => {
  const list = listOf(each)
  return createField(
    `${list.expected}, at least one`,
    { ...list.schema, minItems: 1 },
    (value) => list.is(value) && value.length > 0,
  )
}
const files = createField<string | readonly string[]>(
  'a path, or a list of paths',
  { anyOf: [nonEmptyString.schema, createNonEmptyList(nonEmptyString).schema] },
  (value) => nonEmptyString.is(value) || createNonEmptyList(nonEmptyString).is(value),
)

export const defineTopKeys = (tables: ManifestTables): ManifestKeys => ({
  base: {
    field: nonEmptyString,
    about: 'the base model: a catalogue name, hf:owner/name, a folder or a .gguf file',
  },
  out: {
    field: nonEmptyString,
    about: "the expert's folder; beside the manifest and named like it unless given",
  },
  from: {
    field: nonEmptyString,
    about:
      'the folder of an expert to go on from, in place of a fresh one; relative to the manifest',
  },
  targets: {
    field: createField(
      `${tables.targets.join(', ')}, a list of names, or a regular expression over module paths`,
      {
        anyOf: [
          { enum: tables.targets },
          { type: 'string' },
          { type: 'array', items: { type: 'string' }, minItems: 1 },
        ],
      },
      files.is,
    ),
    about: 'which layers the adapter hits; all-linear for most kinds unless given',
  },
  checkpointing: {
    field: either(flag(), positiveInteger),
    about:
      'compute layers twice instead of keeping them: less memory, more time; a number: into how many segments',
  },
  reference: {
    field: nonEmptyString,
    about:
      'for losses over pairs: the folder of an expert to compare with, in place of the bare base',
  },
  ...tables.settings.top,
})

const weights = createField<Readonly<Record<string, number>>>(
  'a map from folders to weights',
  { type: 'object', additionalProperties: { type: 'number' }, minProperties: 1 },
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length > 0 &&
    Object.values(value).every(isNumber),
)

/** Who is imitated, for the loss 'distillation'. */
export const teacherKeys: ManifestKeys = {
  adapter: { field: nonEmptyString, about: 'the folder of an expert; relative to the manifest' },
  mixture: {
    field: weights,
    about: 'several experts with their weights, mixed as they are served',
  },
  model: {
    field: nonEmptyString,
    about: 'another model of the same vocabulary; the base itself unless given',
  },
}

/** What earlier tasks need is kept: elastic weight consolidation. */
export const defineEwcKeys = ({ ewc }: ManifestTables): ManifestKeys => ({
  ...ewc,
  from: {
    field: nonEmptyString,
    about:
      'the folder with what earlier tasks left (ewc.safetensors); that of the expert gone on from unless given',
  },
})

export const defineDataKeys = ({ formats }: ManifestTables): ManifestKeys => ({
  files: {
    field: files,
    about: 'JSONL files, one or a list; relative to the manifest',
    required: true,
  },
  format: {
    field: oneOf(formats),
    about: 'the form of the rows; found out from the first row unless given',
  },
  system: {
    field: string(),
    about: 'system message for rows that have none; the expert remembers it',
  },
  validation: {
    field: either(heldShare, files),
    about: 'rows to validate on: a share of the data such as 0.1, or files of their own',
  },
  labels: {
    field: createNonEmptyList(nonEmptyString),
    about: 'all the answers there are, for rows that are labelled: any other answer is an error',
  },
})

export const defineBatchKeys = ({ settings }: ManifestTables): ManifestKeys => ({
  rows: { field: positiveInteger, about: 'lines of a batch; 4 unless given' },
  tokens: { field: integerFromTwo, about: 'tokens of a line; 256 unless given' },
  ...settings.batch,
})

export const defineScheduleKeys = ({ settings }: ManifestTables): ManifestKeys => ({
  ...settings.schedule,
  validateEverySteps: {
    field: positiveInteger,
    about: 'steps between validations; at the end of each epoch unless given',
  },
  saveEverySteps: {
    field: positiveInteger,
    about: 'steps between checkpoints to go on from; 25 unless given',
  },
})

export const defineEvaluationKeys = ({ metrics }: ManifestTables): ManifestKeys => ({
  data: {
    field: files,
    about: 'rows to judge on after the training; the validation rows unless given',
  },
  metrics: { field: createNonEmptyList(oneOf(metrics)), about: 'what is measured', required: true },
  rows: { field: positiveInteger, about: 'only the first rows' },
  newTokens: { field: positiveInteger, about: 'tokens of an answer at most; 96 unless given' },
  stop: { field: nonEmptyString, about: 'end answers where this text would begin' },
})

/** A kind's options; which modules it hits has a key of its own. */
export const defineKindKeys = (options: Fields): ManifestKeys =>
  Object.fromEntries(
    Object.entries(withoutOptions(options, 'targets', 'peft')).map(([name, field]) => [
      name,
      { field, about: field.expected },
    ]),
  )
