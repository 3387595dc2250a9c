// Turns a command line of graft train into runs, which are checked before anything is trained.

import { resolve } from 'node:path'
import type { GraftError } from '../../base/errors.ts'
import type { ParsedManifest } from '../../node/manifests/manifest-file.ts'
import type { RunFault } from '../../node/manifests/run-faults.ts'
import type { TrainingRun } from '../../node/manifests/training-run.ts'
import { UsageError } from '../command.ts'
import type { PlannedExpert } from './train-experts.ts'
import type { TrainValues } from './train-option-table.ts'

/** Files of rows, which are given by mistake in place of a training manifest. */
const rowFileName = /\.(jsonl|ndjson|csv|tsv|parquet)(\.gz|\.zst)?$/i

/**
 * The only run of a command line without manifests. Throws the error of invalid input unchanged.
 */
export async function planFromOptions(values: TrainValues): Promise<PlannedExpert> {
  const missing = (['data', 'out'] as const)
    .filter((name) => values[name] === undefined && !(name === 'data' && values.role !== undefined))
    .map((name) => `--${name}`)
  if (missing.length > 0)
    throw new UsageError(
      `${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing. Or give a training manifest: graft train expert.yaml`,
    )
  const [
    { targetPresets },
    { toOverrides },
    { applyOverride },
    { findRunFaults },
    { resolveTrainingRun },
  ] = await Promise.all([
    import('../../adapters/presets.ts'),
    import('./train-overrides.ts'),
    import('../../node/manifests/manifest-file.ts'),
    import('../../node/manifests/run-faults.ts'),
    import('../../node/manifests/training-run.ts'),
  ])
  const manifest = {}
  for (const override of toOverrides(values, {
    presets: [...targetPresets.keys()],
    at: (path) => path,
  }))
    applyOverride(manifest, override)
  const run = await resolveTrainingRun(manifest)
  const [fault] = await findRunFaults(manifest, withRunChoices(run, values, values.resume))
  if (fault) throw fault.error
  return { run, manifest: undefined, resume: values.resume }
}

const withRunChoices = (
  run: TrainingRun,
  { overwrite }: TrainValues,
  resume: boolean,
): TrainingRun => ({
  ...run,
  options: { ...run.options, resume, overwrite },
})

function checkManifestNames(paths: readonly string[]): void {
  const rows = paths.find((path) => rowFileName.test(path))
  if (rows !== undefined)
    throw new UsageError(
      `${rows}: got a file of rows, expected a training manifest. Give rows with --data: graft train --data ${rows} --out <folder>`,
    )
}

/**
 * All manifests are read and checked, and every problem is reported, before anything is trained.
 */
export async function planFromManifests(
  values: TrainValues,
  paths: readonly string[],
): Promise<PlannedExpert[]> {
  if (values.out !== undefined && paths.length > 1)
    throw new UsageError(
      '--out is for one expert; with several, each training manifest names its own folder.',
    )
  checkManifestNames(paths)
  const [
    { targetPresets },
    { toOverrides },
    { readManifest },
    { findRunFaults, toManifestProblems },
    { resolveTrainingRun, hasRunStarted },
    { GraftError: Known, ManifestError },
  ] = await Promise.all([
    import('../../adapters/presets.ts'),
    import('./train-overrides.ts'),
    import('../../node/manifests/manifest-file.ts'),
    import('../../node/manifests/run-faults.ts'),
    import('../../node/manifests/training-run.ts'),
    import('../../base/errors.ts'),
  ])
  const overrides = toOverrides(values, {
    presets: [...targetPresets.keys()],
    at: (path) => resolve(path),
  })
  const errors: GraftError[] = []
  const planned: PlannedExpert[] = []
  for (const path of paths) {
    try {
      const read: ParsedManifest = await readManifest(path, overrides)
      const run = await resolveTrainingRun(read.manifest, path)
      // Of several experts some may not have been begun when the others were interrupted.
      const resume = values.resume && (paths.length === 1 || (await hasRunStarted(run.out)))
      const faults: RunFault[] = await findRunFaults(
        read.manifest,
        withRunChoices(run, values, resume),
      )
      if (planned.some((other) => other.run.out === run.out))
        faults.push({
          key: ['out'],
          error: new Known(`is ${run.out}; another training manifest has the same folder`),
        })
      if (faults.length > 0)
        throw new ManifestError(read.locateProblems(toManifestProblems(faults)))
      planned.push({ run, manifest: path, resume })
    } catch (error) {
      if (!Known.isInstance(error)) throw error
      errors.push(error)
    }
  }
  if (errors.length === 0) return planned
  const faults = errors.flatMap((error) => (error instanceof ManifestError ? error.faults : []))
  const others = errors.filter((error) => !(error instanceof ManifestError))
  throw others.length > 0 ? others[0]! : new ManifestError(faults)
}
