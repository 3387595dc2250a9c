// From a training manifest to a training run: paths relative to the manifest become absolute,
// sections become the options of `train`.

import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { jointMark } from '../../adapters/kinds/joint/joint-rules.ts'
import { toKindName } from '../../adapters/kinds/kind-table.ts'
import { DataError } from '../../base/errors.ts'
import type {
  ManifestChoice,
  ManifestEvaluation,
  TrainingManifest,
} from '../../manifest/training-manifest.ts'
import type { TextDataset } from '../../train/datasets/adapter-dataset.ts'
import { SyntheticDataGenerator } from '../../train/datasets/synthetic/synthetic-data-generator.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { getTierRecipe, listTierOptions } from '../../train/options/adapter-tiers.ts'
import { type AdapterDescription, descriptionTable } from '../../train/options/description.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import type { TeacherFiles } from '../auxiliary-models.ts'
import { readDataFiles, readHeldRows } from '../data.ts'
import { hasExpertFile } from '../expert/expert-notes.ts'
import type { TrainFilesOptions } from '../train-files.ts'
import { getManifestName } from './manifest-file.ts'
import { settingSections } from './manifest-tables.ts'

/** The kind and options of an adapter that the run creates. */
export interface NewAdapter {
  readonly kind: string
  readonly role?: string
  readonly config: Readonly<Record<string, unknown>>
}

/** A run as a manifest describes it. */
export interface TrainingRun {
  /** The name of the base; undefined: the caller's default. */
  readonly base: string | undefined
  readonly out: string
  /** Training data: paths, or a role's examples. */
  readonly data: string | readonly string[] | TextDataset
  /** The paths of `data`; none where a role's examples are taken. */
  readonly dataFiles: readonly string[]
  /** All possible answers, if the rows are labelled. */
  readonly labels?: readonly string[]
  readonly options: Omit<TrainFilesOptions, 'model' | 'data'> & {
    readonly adapter: string | NewAdapter
  }
  readonly evaluation?: Omit<NonNullable<TrainingManifest['evaluation']>, 'data'> & {
    readonly dataFiles?: readonly string[]
  }
}

const asList = <Item>(value: Item | readonly Item[]): readonly Item[] =>
  Array.isArray(value) ? (value as readonly Item[]) : [value as Item]
/** The name of a row, or of several, as a choice without options. */
export const asChoice = (
  value: string | readonly string[] | ManifestChoice | undefined,
): ManifestChoice =>
  typeof value === 'string' || Array.isArray(value)
    ? { name: value as string }
    : ((value as ManifestChoice | undefined) ?? {})

/** The defaults; kinds that are not listed here have their own, and not every option. */
const defaultConfigs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  lora: { rank: 16, targets: 'all-linear' },
  dora: { rank: 16, targets: 'all-linear' },
  lokr: { targets: 'all-linear' },
  loha: { targets: 'all-linear' },
  vera: { targets: 'all-linear' },
}

/**
 * The options that a run of this kind has where none are given; of several kinds, by their names.
 */
export function getDefaultConfig(kind: string): Readonly<Record<string, unknown>> {
  const kinds = kind.split(jointMark)
  if (kinds.length === 1) return defaultConfigs[kind] ?? {}
  return Object.fromEntries(
    kinds.flatMap((name) => (defaultConfigs[name] ? [[name, defaultConfigs[name]]] : [])),
  )
}

/**
 * A row of a table and its settings: { name, epochs, gamma } → schedule, epochs, scheduleOptions.
 */
function toSectionOptions(
  section: 'schedule' | 'optimizer' | 'loss',
  value: string | ManifestChoice | undefined,
) {
  const { name, ...given } = asChoice(value)
  const isSetting = (key: string): boolean => key in settingTable
  const settings = Object.entries(given).filter(([key]) => isSetting(key))
  const own = Object.entries(given).filter(([key]) => !isSetting(key))
  return {
    ...Object.fromEntries(settings),
    ...(name !== undefined && { [section]: name }),
    ...(own.length > 0 && { [`${section}Options`]: Object.fromEntries(own) }),
  }
}

/**
 * Paths of a manifest are relative to the manifest; those of a command line (no `file`) to the
 * working directory.
 */
const createPathResolver = (file: string | undefined) => (path: string) =>
  file === undefined ? path : resolve(dirname(file), path)

/** A base that exists relative to the manifest is a path; anything else is a name. */
async function resolveBase(
  base: string | undefined,
  file: string | undefined,
): Promise<string | undefined> {
  if (base === undefined || file === undefined) return base
  const path = createPathResolver(file)(base)
  const isPath =
    /^\.{0,2}[\\/]|\.gguf$/.test(base) || (await stat(path).catch(() => undefined)) !== undefined
  return isPath ? path : base
}

/** Folders of experts relative to the manifest, the model as a base is named. */
async function resolveTeacher(
  { adapter, mixture, model }: NonNullable<TrainingManifest['teacher']>,
  file: string | undefined,
): Promise<TeacherFiles> {
  const at = createPathResolver(file)
  return {
    ...(adapter !== undefined && { adapter: at(adapter) }),
    ...(mixture && {
      mixture: Object.entries(mixture).map(([folder, weight]) => ({ adapter: at(folder), weight })),
    }),
    ...(model !== undefined && { model: await resolveBase(model, file) }),
  }
}

/**
 * The run that a training manifest describes. `file` is the manifest's path; undefined for one that
 * was built from a command line.
 */
export async function resolveTrainingRun(
  manifest: TrainingManifest,
  file?: string,
): Promise<TrainingRun> {
  const at = createPathResolver(file)
  const { data = {}, evaluation, out = getManifestName(file!) } = manifest
  const dataFiles = asList(data.files ?? []).map(at)
  return {
    base: await resolveBase(manifest.base, file),
    out: at(out),
    data: resolveData(dataFiles, manifest),
    dataFiles,
    ...(data.labels && { labels: data.labels }),
    options: {
      out: at(out),
      adapter: resolveAdapter(manifest, at),
      ...toSettings(manifest),
      ...toDescription(manifest),
      ...toDataOptions(data, manifest.schedule, at),
      ...(await resolveReferences(manifest, file)),
    },
    ...(evaluation && { evaluation: resolveEvaluation(evaluation, at) }),
  }
}

/** Options by kind; given options take precedence over defaults. */
function withKindDefaults(
  given: Readonly<Record<string, unknown>>,
  usual: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const byKind = Object.entries(usual).map(([kind, options]) => {
    const left = Object.entries(options as object).filter(([name]) => !(name in given))
    return [kind, Object.assign(Object.fromEntries(left), given[kind])] as const
  })
  return Object.assign({}, given, Object.fromEntries(byKind))
}

type PathResolver = ReturnType<typeof createPathResolver>

/** The folder of an expert to continue from, or the kind and options of a new one. */
function resolveAdapter(
  { from, kind: choice, role, tier, targets }: TrainingManifest,
  at: PathResolver,
): string | NewAdapter {
  if (from !== undefined) return at(from)
  const recipe = tier === undefined ? undefined : getTierRecipe(tier)
  const { name = recipe?.kind.split(jointMark) ?? 'lora', ...own } = asChoice(choice)
  const kind = toKindName(name)
  const usual = Object.assign(
    {},
    role === undefined && getDefaultConfig(kind),
    recipe && listTierOptions(recipe, kind),
  )
  const given = { ...(targets !== undefined && { targets }), ...own }
  const config = kind.includes(jointMark)
    ? withKindDefaults(given, usual)
    : Object.assign({}, usual, given)
  return { kind, ...(role !== undefined && { role }), config }
}

const roleExamples = 400 // a minute or so on a small model

/** The files, or if there are none the examples of the role. */
function resolveData(files: readonly string[], { role, seed = 0 }: TrainingManifest) {
  if (files.length === 0 && role !== undefined)
    return new SyntheticDataGenerator(1, seed).tasks(role, roleExamples)
  return files.length === 1 ? files[0]! : files
}

/** The options of `train` that are plain values. */
function toSettings(manifest: TrainingManifest) {
  const { batch = {}, checkpointing } = manifest
  const { rows = 4, tokens = 256, ...batchSettings } = batch as { rows?: number; tokens?: number }
  const top = Object.entries(manifest).filter(
    ([key]) => settingSections[key as keyof typeof settingSections] === 'top',
  )
  return {
    batch: { rows, tokens },
    ...batchSettings,
    ...toSectionOptions('schedule', removeIntervals(manifest.schedule)),
    ...toSectionOptions('optimizer', manifest.optimizer),
    ...toSectionOptions('loss', manifest.loss),
    ...(checkpointing !== undefined && { checkpointing }),
    ...Object.fromEntries(top),
  }
}

/** The expert's metadata. */
function toDescription(manifest: TrainingManifest) {
  const given = Object.entries(manifest).filter(([key]) => Object.hasOwn(descriptionTable, key))
  return given.length === 0 ? {} : { metadata: Object.fromEntries(given) as AdapterDescription }
}

/** Steps between validations and between checkpoints, which a manifest has under `schedule`. */
const readIntervals = (schedule: TrainingManifest['schedule']) =>
  asChoice(schedule) as { readonly validateEverySteps?: number; readonly saveEverySteps?: number }

function removeIntervals(schedule: TrainingManifest['schedule']): ManifestChoice {
  const { validateEverySteps: _validate, saveEverySteps: _save, ...rest } = asChoice(schedule)
  return rest
}

function toDataOptions(
  { system, validation, license }: NonNullable<TrainingManifest['data']>,
  schedule: TrainingManifest['schedule'],
  at: PathResolver,
) {
  const { validateEverySteps: everySteps, saveEverySteps } = readIntervals(schedule)
  const held =
    typeof validation === 'number' || validation === undefined
      ? validation
      : asList(validation).map(at)
  return {
    ...(system !== undefined && { system }),
    ...(license !== undefined && { dataLicense: license }),
    ...(held !== undefined && { validation: { data: held, everySteps } }),
    ...(saveEverySteps !== undefined && { checkpoint: { everySteps: saveEverySteps } }),
  }
}

/**
 * The inputs of a run in addition to its data: a teacher, a reference, the state of earlier tasks.
 */
async function resolveReferences(
  { teacher, reference, ewc }: TrainingManifest,
  file: string | undefined,
) {
  const at = createPathResolver(file)
  return {
    ...(teacher && { teacher: await resolveTeacher(teacher, file) }),
    ...(reference !== undefined && { reference: at(reference) }),
    ...(ewc && { ewc: { ...ewc, ...(ewc.from !== undefined && { from: at(ewc.from) }) } }),
  }
}

function resolveEvaluation({ data, ...settings }: ManifestEvaluation, at: PathResolver) {
  return { ...settings, ...(data !== undefined && { dataFiles: asList(data).map(at) }) }
}

/** The rows of the evaluation after training: the evaluation's own, or the held-out ones. */
export async function readEvaluationRows({
  data,
  evaluation,
  options,
}: TrainingRun): Promise<RawDataset> {
  if (evaluation?.dataFiles) return readDataFiles(evaluation.dataFiles)
  const held = await readHeldRows(data, options.validation, options.seed ?? 0)
  if (!held || 'examples' in held) throw new DataError('There are no rows to judge on.')
  return held
}

/** Whether a run was begun in a folder and can be resumed. */
export const hasRunStarted = (out: string): Promise<boolean> => hasExpertFile(out)
