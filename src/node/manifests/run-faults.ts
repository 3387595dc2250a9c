// Finds problems of a training run before its base is opened: files, rows, labels, the options of
// the kind, the expert's folder.

import { getKind, toKindName } from '../../adapters/kinds/kind-table.ts'
import { DataError, GraftError, OptionError } from '../../base/errors.ts'
import { findLabelProblem } from '../../eval/metrics/label-accuracy.ts'
import { getAnswer } from '../../eval/questions.ts'
import type { ManifestProblem, TrainingManifest } from '../../manifest/training-manifest.ts'
import { detectFormat, readExamples } from '../../train/data/format-table.ts'
import { createDataError, type RawDataset } from '../../train/data/jsonl.ts'
import { resolveValidation } from '../../train/options/train-data.ts'
import { type LocatedAdapter, locateAdapter } from '../located-adapter.ts'
import { readDataFiles } from '../data.ts'
import { checkOutFolder } from '../run-folder.ts'
import { asChoice, type TrainingRun } from './training-run.ts'

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
 * Files, forms of rows, labels, the kind's options, the folder: everything that needs no base, so
 * that bad input is reported at once and not after minutes.
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
    await attempt(['kind'], () => getKind(toKindName(adapter.kind)).complete(adapter.config))
  else
    await attempt(['from'], async () => checkContinuation(await locateAdapter(adapter), manifest))
  await attempt(['out'], () => checkOutFolder(out, options))
  for (const file of dataFiles)
    await attempt(['data', 'files'], async () => checkRows(await readDataFiles([file]), data))
  const validation = resolveValidation(options.validation)?.data
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

/** An expert that is trained further keeps its kind and its layers. */
function checkContinuation({ kind }: LocatedAdapter, manifest: TrainingManifest): void {
  const { name, ...own } = asChoice(manifest.kind)
  const keys = (['targets', 'role', 'tier'] as const).filter((key) => manifest[key] !== undefined)
  const others = [...Object.keys(own), ...keys]
  const asked = name === undefined ? undefined : getKind(toKindName(name)).name
  if (asked !== undefined && asked !== kind)
    throw new OptionError(
      `the expert to continue from is of kind ${kind}, and ${asked} is asked for`,
    )
  if (others.length > 0)
    throw new OptionError(
      `the expert to continue from keeps its ${others.join(', ')}: leave ${others.length > 1 ? 'these' : 'this'} out`,
    )
}

/** Checks that rows have the named format, and that their answers are among the labels. */
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
