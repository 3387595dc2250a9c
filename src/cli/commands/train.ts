// graft train: trains experts, each described by a training manifest, or one described by options
// alone.

import { resolve } from 'node:path'
import type { GraftError } from '../../base/errors.ts'
import type { RunFault } from '../../node/manifests/run-faults.ts'
import type { TrainingRun } from '../../node/manifests/training-run.ts'
import type { ParsedManifest } from '../../node/manifests/manifest-file.ts'
import { defineCommand, UsageError } from '../command.ts'
import type { FailedExpert, PlannedExpert, TrainedExpert } from '../train/train-experts.ts'
import type { TrainOptionTable, TrainValues } from '../train/train-option-table.ts'
import type { Terminal } from '../ui/terminal.ts'

export const trainCommand = defineCommand<TrainOptionTable>({
  name: 'train',
  summary: 'teach experts (LoRA) from files of rows',
  usage: '[expert.yaml ...]',
  positionals: [0, 100],
  options: async () => (await import('../train/train-options.ts')).trainOptions,
  helpOptions: async () => (await import('../train/train-help.ts')).readTrainHelp(),
  examples: [
    {
      command: 'graft train --data rows.jsonl --out my-expert',
      about: 'LoRA r16 on all linear layers of the default base, one epoch',
    },
    {
      command: 'graft train --data rows.jsonl --out my-expert --validation 0.1 --epochs 3',
      about: 'keeps the epoch that does best on a tenth of the rows',
    },
    {
      command: 'graft train --data rows.jsonl --out my-expert --resume',
      about: 'resumes where Ctrl-C or a power cut ended it',
    },
    {
      command: 'graft train --data rows.jsonl --out my-expert --plan',
      about: 'how much memory and time that will take; nothing is written',
    },
    {
      command: 'graft train --role coder --out my-coder --validation 0.1',
      about: "a role's rank, layers and synthetic examples",
    },
    {
      command: 'graft train expert.yaml --epochs 5',
      about: 'as the manifest says, but for five epochs',
    },
    { command: 'graft train a.yaml b.yaml', about: 'one after another over one loaded base' },
  ],
  async run(context) {
    const { values, positionals, terminal, signal, commandLine, setExitCode } = context
    const { readReplicaChoice } = await import('../train/replica-choice.ts')
    const replicas = readReplicaChoice(context)
    const planned =
      positionals.length > 0
        ? await planFromManifests(replicas.values, positionals)
        : [await planFromOptions(replicas.values)]
    if (values.plan)
      return (await import('../train/train-plan.ts')).planExperts(planned, {
        values,
        terminal,
        signal,
      })
    if (replicas.place) {
      const { trainAsReplica } = await import('../train/train-as-replica.ts')
      return trainAsReplica(planned[0]!, replicas.place, context)
    }
    const [
      { showTrainedExpert, summarizeExpert, trainExperts },
      { announceTask },
      { getRunningFolder },
    ] = await Promise.all([
      import('../train/train-experts.ts'),
      import('../../node/files/running.ts'),
      import('../home/places.ts'),
    ])
    const summarize = (result: TrainedExpert | FailedExpert): object =>
      'end' in result ? summarizeExpert(result) : summarizeFailure(result)
    const endTask = await announceTask(getRunningFolder(), {
      command: 'graft train',
      about: planned.map(({ run }) => run.out).join(', '),
    })
    const work = { values, terminal, signal, commandLine }
    const training = replicas.command
      ? import('../train/train-with-replicas.ts').then(async ({ trainWithReplicas }) => [
          await trainWithReplicas(planned[0]!, replicas.command!, work),
        ])
      : trainExperts(planned, work)
    const results: (TrainedExpert | FailedExpert)[] = await training.finally(endTask)
    const several = planned.length > 1
    const failures = results.filter((result): result is FailedExpert => 'error' in result)
    if (!several && failures[0]) throw failures[0].error
    for (const result of results) if ('end' in result) showTrainedExpert(result, terminal, several)
    showFailures(failures, terminal)
    const unfinished =
      results.length < planned.length ||
      results.some((result) => 'error' in result || result.end.reason === 'stopped')
    if (unfinished) setExitCode(1)
    return several ? { experts: results.map(summarize) } : summarize(results[0]!)
  },
})

/**
 * The only run of a command line without manifests. Bad input is thrown as the error that it is.
 */
async function planFromOptions(values: TrainValues): Promise<PlannedExpert> {
  const missing = (['data', 'out'] as const)
    .filter((name) => values[name] === undefined && !(name === 'data' && values.role !== undefined))
    .map((name) => `--${name}`)
  if (missing.length > 0)
    throw new UsageError(
      `${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing. Or name a training manifest: graft train expert.yaml`,
    )
  const [
    { targetPresets },
    { toOverrides },
    { applyOverride },
    { findRunFaults },
    { resolveTrainingRun },
  ] = await Promise.all([
    import('../../adapters/presets.ts'),
    import('../train/train-overrides.ts'),
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

/**
 * All manifests are read and checked, and all that is wrong in any of them is said, before anything
 * is trained.
 */
async function planFromManifests(
  values: TrainValues,
  paths: readonly string[],
): Promise<PlannedExpert[]> {
  if (values.out !== undefined && paths.length > 1)
    throw new UsageError(
      '--out is for one expert; of several, each training manifest says its own.',
    )
  const [
    { targetPresets },
    { toOverrides },
    { readManifest },
    { findRunFaults, toManifestProblems },
    { resolveTrainingRun, hasRunStarted },
    { GraftError: Known, ManifestError },
  ] = await Promise.all([
    import('../../adapters/presets.ts'),
    import('../train/train-overrides.ts'),
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

function showFailures(failures: readonly FailedExpert[], { note }: Terminal): void {
  for (const { planned, error } of failures) note(`graft: ${planned.manifest}: ${error.message}`)
}

const summarizeFailure = ({ planned: { manifest, run }, error }: FailedExpert): object => ({
  manifest,
  out: run.out,
  error: { name: error.name, message: error.message },
})
