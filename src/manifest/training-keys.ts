// The keys of a training manifest: what each may hold, and a sentence that editors show. Rows of
// other tables (kinds, schedules, optimisers, formats, metrics) are handed in, so that a new row
// needs no change here.

import {
  createField,
  either,
  type Field,
  type Fields,
  flag,
  integer,
  isRecord,
  listOf,
  number,
  oneOf,
  positiveInteger,
  string,
  withInfo,
  withoutOptions,
} from '../base/schema.ts'

/** A map with these keys and no other. */
export interface ManifestSection {
  readonly keys: Readonly<Record<string, ManifestKey>>
  readonly required?: readonly string[]
  readonly about: string
}

/** The name of a row of a table, or a map with that name and the row's options. */
export interface ManifestChoiceKey {
  readonly rows: ReadonlyMap<string, ManifestSection>
  /** The row of a map without a name. */
  readonly usual: string
  /** Where several rows may act as one, named in a list: what such a map may hold. */
  readonly join?: (rows: ReadonlyMap<string, ManifestSection>) => ManifestSection
  readonly about: string
}

/** What one key may hold. */
export type ManifestKey = Field | ManifestSection | ManifestChoiceKey

/** Rows of a table that a manifest names one of. */
export type ChoiceTable = ReadonlyMap<string, { readonly about?: string; readonly options: Fields }>

/** What a manifest may choose from. */
export interface ManifestTables {
  readonly kinds: ChoiceTable
  /** Names of target presets. */
  readonly targets: readonly string[]
  readonly roles: readonly string[]
  /** Names of tiers, and of classes of tasks that have one. */
  readonly tiers: readonly string[]
  readonly formats: readonly string[]
  readonly schedules: ChoiceTable
  readonly optimizers: ChoiceTable
  readonly losses: ChoiceTable
  /** The settings of a run by their section. */
  readonly settings: Readonly<Record<'batch' | 'schedule' | 'optimizer' | 'top', Fields>>
  readonly metrics: readonly string[]
  readonly ewc: Fields
  /** Name, description, tags and so on: the expert's metadata. */
  readonly description: Fields
}

const filled = string({ filled: true })
const definePath = (about: string): Field<string> => string({ filled: true, about })
const defineCount = (about: string): Field<number> => integer({ from: 1, about })

const filledList = listOf(filled, { least: 1 })
const isPaths = (value: unknown): boolean => filled.is(value) || filledList.is(value)
const definePaths = (about: string): Field<string | readonly string[]> =>
  createField(
    'a path, or a list of paths',
    { anyOf: [filled.schema, filledList.schema] },
    isPaths,
    { about },
  )

const defineTargets = (presets: readonly string[]): Field =>
  createField<string | readonly string[]>(
    `${presets.join(', ')}, a list of names, or a regular expression over module paths`,
    {
      anyOf: [
        { enum: presets },
        { type: 'string' },
        { type: 'array', items: { type: 'string' }, minItems: 1 },
      ],
    },
    isPaths,
    { about: 'which layers the adapter changes (default: all-linear for most kinds)' },
  )

const weightsField = createField<Readonly<Record<string, number>>>(
  'a map from folders to weights',
  { type: 'object', additionalProperties: { type: 'number' }, minProperties: 1 },
  (value) =>
    isRecord(value) &&
    Object.keys(value).length > 0 &&
    Object.values(value).every((weight) => number().is(weight)),
  { about: 'several experts with weights, mixed as in serving' },
)

const teacherSection: ManifestSection = {
  about: 'the model to imitate, for the loss distillation',
  keys: {
    adapter: definePath('the folder of an expert; relative to the manifest'),
    mixture: weightsField,
    model: definePath('another model of the same vocabulary (default: the base itself)'),
  },
}

const defineDataSection = (formats: readonly string[], needsData: boolean): ManifestSection => ({
  about: 'the training data',
  ...(needsData && { required: ['files'] }),
  keys: {
    files: definePaths(
      'files of rows (JSONL, JSON, CSV or Parquet), one or a list; relative to the manifest',
    ),
    format: oneOf(formats, {
      about: 'the form of the rows (default: read from the first row)',
    }),
    system: string({ about: 'system message for rows that have none; stored with the expert' }),
    validation: either(number({ above: 0, below: 1 }), definePaths(''), {
      about: 'rows to validate on: a share of the data such as 0.1, or separate files',
    }),
    labels: listOf(filled, {
      least: 1,
      about: 'the possible answers, for labelled rows: any other answer is an error',
    }),
    license: string({
      filled: true,
      about: 'the licence of the data, such as CC0-1.0; stored with the expert',
    }),
  },
})

const defineEvaluationSection = (metrics: readonly string[]): ManifestSection => ({
  about: 'what is measured after the training',
  required: ['metrics'],
  keys: {
    data: definePaths('rows to evaluate on after the training (default: the validation rows)'),
    metrics: listOf(oneOf(metrics), { least: 1, about: 'what is measured' }),
    rows: defineCount('only the first rows'),
    newTokens: defineCount('tokens of an answer at most (default: 96)'),
    stop: definePath('end answers before this text'),
  },
})

/** Runs' own keys of the section `schedule`, in addition to the settings of training. */
const scheduleKeys: Fields = {
  validateEverySteps: defineCount('steps between validations (default: at the end of each epoch)'),
  saveEverySteps: defineCount('steps between checkpoints to resume from (default: 25)'),
}

/** The section of each row, with keys that all rows share. */
const defineChoice = (
  table: ChoiceTable,
  usual: string,
  about: string,
  shared: Fields = {},
): ManifestChoiceKey => ({
  about,
  usual,
  rows: new Map(
    [...table].map(([name, row]) => [
      name,
      { about: row.about ?? about, keys: { ...shared, ...row.options } },
    ]),
  ),
})

/** A kind's options; which modules it hits has its own key. */
const selectKindOptions = (kinds: ChoiceTable): ChoiceTable =>
  new Map(
    [...kinds].map(([name, { options }]) => [
      name,
      {
        options: Object.fromEntries(
          Object.entries(withoutOptions(options, 'targets', 'peft')).map(([key, field]) => [
            key,
            withInfo(field, { about: field.expected }),
          ]),
        ),
      },
    ]),
  )

/**
 * One kind with its options, or several: options of any of them, and those of one under its name.
 */
const defineKinds = ({ kinds, targets }: ManifestTables): ManifestChoiceKey => {
  const about =
    'the kind of adapter, or a list of kinds that act as one expert (ia3 and prompt-tuning), and options'
  const choice = defineChoice(selectKindOptions(kinds), 'lora', about)
  return Object.assign(choice, {
    join: (rows: ReadonlyMap<string, ManifestSection>): ManifestSection => {
      const flat = [...rows.values()].flatMap(({ keys }) => Object.entries(keys))
      const own = [...rows].map(([name, { keys }]) => {
        const all = Object.assign({ targets: defineTargets(targets) }, keys)
        return [name, { about: `options of ${name} alone`, keys: all }] as const
      })
      return { about, keys: Object.fromEntries([...flat, ...own]) }
    },
  })
}

/** Names for kind, rank and layers. */
const defineRecipes = ({ roles, tiers }: ManifestTables) => ({
  role: oneOf(roles, {
    about:
      'a role: sets the rank, alpha, targets and synthetic examples that are not given, and name, description and tags',
  }),
  tier: oneOf(tiers, {
    about:
      'a tier (ultralight, medium, heavy) or a class of tasks: sets the kind, rank and targets that are not given',
  }),
})

/**
 * The whole training manifest, by the tables of this version. One that names a role needs no data,
 * because the role has its own examples.
 */
export function defineTrainingManifest(tables: ManifestTables, needsData = true): ManifestSection {
  const { settings, schedules, optimizers, losses } = tables
  return {
    about: 'a training run: a base model, an adapter, data and settings, as graft train takes them',
    ...(needsData && { required: ['data'] }),
    keys: {
      base: definePath('the base model: a catalogue name, hf:owner/name, a folder or a .gguf file'),
      out: definePath("the expert's folder (default: next to the manifest and named like it)"),
      ...tables.description,
      kind: defineKinds(tables),
      targets: defineTargets(tables.targets),
      ...defineRecipes(tables),
      data: defineDataSection(tables.formats, needsData),
      batch: {
        about: 'the size of a batch',
        keys: {
          rows: defineCount('packed sequences of a batch (default: 4)'),
          tokens: integer({ from: 2, about: 'tokens of a packed sequence (default: 256)' }),
          ...settings.batch,
        },
      },
      schedule: defineChoice(schedules, 'cosine', 'length of the run and learning rate', {
        ...settings.schedule,
        ...scheduleKeys,
      }),
      optimizer: defineChoice(
        optimizers,
        'adamw',
        'the optimiser and its options',
        settings.optimizer,
      ),
      loss: defineChoice(losses, 'cross-entropy', 'the training loss, and its options'),
      teacher: teacherSection,
      ewc: {
        about: 'protects earlier tasks, and measures what this one needs (EWC)',
        keys: {
          ...tables.ewc,
          from: definePath(
            'the folder with the state of earlier tasks, ewc.safetensors (default: that of the expert in "from")',
          ),
        },
      },
      evaluation: defineEvaluationSection(tables.metrics),
      from: definePath(
        'the folder of an expert to continue from, instead of a new one; relative to the manifest',
      ),
      checkpointing: either(flag(), positiveInteger, {
        about:
          'gradient checkpointing: computes layers twice, with less memory and more time; a number: into how many segments',
      }),
      reference: definePath(
        'for losses over pairs: the folder of an expert to compare with, instead of the base',
      ),
      ...settings.top,
    },
  }
}

/** The field of a key such as 'schedule.epochs'; of a choice, from the first row that has it. */
export function findManifestField(section: ManifestSection, key: string): Field | undefined {
  const [name, ...rest] = key.split('.') as [string, ...string[]]
  const found = section.keys[name]
  if (found === undefined) return undefined
  if ('is' in found) return rest.length === 0 ? found : undefined
  if ('keys' in found) return findManifestField(found, rest.join('.'))
  if (rest.join('.') === 'name') return oneOf([...found.rows.keys()], { about: found.about })
  const usual = found.rows.get(found.usual)
  const rows = [...(usual ? [usual] : []), ...found.rows.values()]
  return rows
    .map((row) => findManifestField(row, rest.join('.')))
    .find((field) => field !== undefined)
}
