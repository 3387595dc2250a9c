// From a manifest to a training run: paths from where the manifest stands, sections to the options
// of `train`, and what can be checked before a base is opened.

import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import { DataError, GraftError, OptionError } from '../../base/errors.ts'
import { getAnswer } from '../../eval/questions.ts'
import type {
  ManifestChoice,
  ManifestProblem,
  TrainingManifest,
} from '../../manifest/training-manifest.ts'
import { detectFormat, readExamples } from '../../train/data/format-table.ts'
import { createDataError, type RawDataset } from '../../train/data/jsonl.ts'
import { findLabelProblem } from '../../eval/metrics/label-accuracy.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import { loadAdapter } from '../adapters.ts'
import type { TeacherFiles } from '../auxiliary-models.ts'
import { checkOutFolder, openDataParts, type TrainFilesOptions } from '../train.ts'
import { readDataFiles } from '../data.ts'
import { getManifestName } from './manifest-file.ts'
import { settingSections } from './manifest-tables.ts'

/** The kind and options of an adapter that is made when the run starts. */
export interface NewAdapter {
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
}

/** A run as a manifest describes it. */
export interface TrainingRun {
  /** What the base is asked for by; undefined: the caller's usual one. */
  readonly base: string | undefined
  readonly out: string
  readonly dataFiles: readonly string[]
  /** All the answers there are, where the rows are labelled. */
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
const asChoice = (value: string | ManifestChoice | undefined): ManifestChoice =>
  typeof value === 'string' ? { name: value } : (value ?? {})

/**
 * What is taken where nothing is given; kinds that are not named here have defaults of their own,
 * and not every option.
 */
const defaultConfigs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  lora: { rank: 16, targets: 'all-linear' },
  dora: { rank: 16, targets: 'all-linear' },
  lokr: { targets: 'all-linear' },
  loha: { targets: 'all-linear' },
  vera: { targets: 'all-linear' },
}

/** The options that a run of this kind has where none are given. */
export const getDefaultConfig = (kind: string): Readonly<Record<string, unknown>> =>
  defaultConfigs[kind] ?? {}

/**
 * A row of a table and the settings beside it: { name, epochs, gamma } → schedule, epochs,
 * scheduleOptions.
 */
function toSectionOptions(
  section: 'schedule' | 'optimizer' | 'loss',
  value: string | ManifestChoice | undefined,
  beside: readonly string[] = [],
) {
  const { name, ...given } = asChoice(value)
  const isSetting = (key: string): boolean => key in settingTable || beside.includes(key)
  const settings = Object.entries(given).filter(([key]) => isSetting(key))
  const own = Object.entries(given).filter(([key]) => !isSetting(key))
  return {
    ...Object.fromEntries(settings),
    ...(name !== undefined && { [section]: name }),
    ...(own.length > 0 && { [`${section}Options`]: Object.fromEntries(own) }),
  }
}

/**
 * Paths of a manifest are relative to it; those of a command line (no `file`) to where it was
 * typed.
 */
const createPathResolver = (file: string | undefined) => (path: string) =>
  file === undefined ? path : resolve(dirname(file), path)

/** A base that stands beside the manifest is a path; anything else is a name. */
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
 * The run that a manifest describes. `file` is the manifest's own path, undefined for one put
 * together from a command line.
 */
export async function resolveTrainingRun(
  manifest: TrainingManifest,
  file?: string,
): Promise<TrainingRun> {
  const at = createPathResolver(file)
  const {
    data = {},
    batch = {},
    evaluation,
    targets,
    checkpointing,
    from,
    ewc,
    out = getManifestName(file!),
  } = manifest
  const { rows = 4, tokens = 256, ...batchSettings } = batch as { rows?: number; tokens?: number }
  const { name: kind = 'lora', ...own } = asChoice(manifest.kind)
  const { validation } = data
  const held =
    typeof validation === 'number' || validation === undefined
      ? validation
      : asList(validation).map(at)
  const { data: judgedOn, ...evaluationSettings } = evaluation ?? { metrics: [] }
  return {
    base: await resolveBase(manifest.base, file),
    out: at(out),
    dataFiles: asList(data.files ?? []).map(at),
    ...(data.labels && { labels: data.labels }),
    options: {
      out: at(out),
      adapter:
        from === undefined
          ? {
              kind,
              config: {
                ...getDefaultConfig(kind),
                ...(targets !== undefined && { targets }),
                ...own,
              },
            }
          : at(from),
      batch: { rows, tokens },
      ...batchSettings,
      ...toSectionOptions('schedule', manifest.schedule, ['validateEverySteps', 'saveEverySteps']),
      ...toSectionOptions('optimizer', manifest.optimizer),
      ...toSectionOptions('loss', manifest.loss),
      ...(manifest.teacher && { teacher: await resolveTeacher(manifest.teacher, file) }),
      ...(manifest.reference !== undefined && { reference: at(manifest.reference) }),
      ...(checkpointing !== undefined && { checkpointing }),
      ...(ewc && { ewc: { ...ewc, ...(ewc.from !== undefined && { from: at(ewc.from) }) } }),
      ...Object.fromEntries(
        Object.entries(manifest).filter(
          ([key]) => settingSections[key as keyof typeof settingSections] === 'top',
        ),
      ),
      ...(data.system !== undefined && { system: data.system }),
      ...(held !== undefined && { validation: held }),
    },
    ...(evaluation && {
      evaluation: {
        ...evaluationSettings,
        ...(judgedOn !== undefined && { dataFiles: asList(judgedOn).map(at) }),
      },
    }),
  }
}

/**
 * Something wrong that is found before the base is opened, with the manifest's key that it belongs
 * to.
 */
export interface RunFault {
  readonly key: readonly string[]
  readonly error: GraftError
}

/** The problems as a manifest's. */
export const toManifestProblems = (faults: readonly RunFault[]): ManifestProblem[] =>
  faults.map(({ key, error }) => ({ path: key, message: error.message }))

/**
 * Files, forms of rows, labels, the kind's options, the folder: everything that needs no base. Bad
 * input is said now, not after minutes.
 */
export async function findRunFaults(
  manifest: TrainingManifest,
  { out, dataFiles, options, evaluation }: TrainingRun,
): Promise<RunFault[]> {
  const { data = {} } = manifest
  const faults: RunFault[] = []
  const attempt = async (key: readonly string[], check: () => unknown): Promise<void> => {
    try {
      await check()
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      faults.push({ key, error })
    }
  }
  const { adapter } = options
  if (typeof adapter !== 'string')
    await attempt(['kind'], () => getKind(adapter.kind).complete(adapter.config))
  else await attempt(['from'], async () => checkContinuation(await loadAdapter(adapter), manifest))
  await attempt(['out'], () => checkOutFolder(out, options))
  for (const file of dataFiles)
    await attempt(['data', 'files'], async () => checkRows(await readDataFiles([file]), data))
  const { validation } = options
  if (Array.isArray(validation))
    for (const file of validation as string[])
      await attempt(['data', 'validation'], async () =>
        checkRows(await readDataFiles([file]), data),
      )
  for (const file of evaluation?.dataFiles ?? [])
    await attempt(['evaluation', 'data'], async () => readExamples(await readDataFiles([file])))
  if (evaluation && !evaluation.dataFiles && validation === undefined)
    faults.push({
      key: ['evaluation'],
      error: new DataError(
        'has no rows: give evaluation.data, or data.validation to judge on its rows',
      ),
    })
  return faults
}

/** An expert that is gone on from keeps its kind and its layers. */
function checkContinuation({ kind }: Adapter, manifest: TrainingManifest): void {
  const { name, ...own } = asChoice(manifest.kind)
  const others = [...Object.keys(own), ...(manifest.targets === undefined ? [] : ['targets'])]
  if (name !== undefined && name !== kind)
    throw new OptionError(`the expert to go on from is of kind ${kind}, and ${name} is asked for`)
  if (others.length > 0)
    throw new OptionError(
      `the expert to go on from keeps its ${others.join(', ')}: leave ${others.length > 1 ? 'these' : 'this'} out`,
    )
}

/** Rows are of the form that was named, and their answers among the labels. */
function checkRows(
  data: RawDataset,
  { format, labels }: NonNullable<TrainingManifest['data']>,
): void {
  const found = detectFormat(data).name
  if (format !== undefined && found !== format)
    throw new DataError(`${data.name}: rows are of the format "${found}", expected "${format}".`)
  const { examples } = readExamples(data)
  if (!labels) return
  const problems = examples.flatMap(({ number, example }) => {
    const problem = findLabelProblem(getAnswer(example).trim(), labels)
    return problem === undefined ? [] : [`row ${number}: ${problem}`]
  })
  if (problems.length > 0)
    throw createDataError(data.name, 'rows have labels that are not in data.labels', problems)
}

/**
 * The rows that an expert is judged on after its training: the evaluation's own, or those that were
 * held back.
 */
export async function readEvaluationRows({
  dataFiles,
  evaluation,
  options,
}: TrainingRun): Promise<RawDataset> {
  if (evaluation?.dataFiles) return readDataFiles(evaluation.dataFiles)
  const { validation } = await openDataParts(
    dataFiles as readonly string[],
    options.validation,
    options.seed ?? 0,
  )
  if (!validation || 'examples' in validation) throw new DataError('There are no rows to judge on.')
  return validation
}

/** Whether a run was begun in a folder, and can be gone on with. */
export const hasRunStarted = async (out: string): Promise<boolean> =>
  (await stat(join(out, 'graft.json')).catch(() => undefined)) !== undefined
