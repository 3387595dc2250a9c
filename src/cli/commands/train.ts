// graft train: trains experts, each described by a training manifest, or one described by options
// alone.

import { defineCommand, UsageError } from '../command.ts'
import type { FailedExpert, TrainedExpert } from '../train/train-experts.ts'
import type { TrainOptionTable } from '../train/train-option-table.ts'
import type { Terminal } from '../ui/terminal.ts'

export const trainCommand = defineCommand<TrainOptionTable>({
  name: 'train',
  summary: 'train experts (LoRA and other kinds) on files of rows',
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
      about: 'keeps the epoch that is best on a tenth of the rows',
    },
    {
      command: 'graft train --data rows.jsonl --out my-expert --resume',
      about: 'resumes after Ctrl-C or a power cut',
    },
    {
      command: 'graft train --data rows.jsonl --out my-expert --plan',
      about: 'how much memory and time it will take; nothing is written',
    },
    {
      command: 'graft train --role coder --out my-coder --validation 0.1',
      about: "a role's rank, layers and synthetic examples",
    },
    {
      command: 'graft train expert.yaml --epochs 5',
      about: 'as in the manifest, but five epochs',
    },
    { command: 'graft train a.yaml b.yaml', about: 'one after another over one loaded base' },
    {
      command: 'graft train a.yaml b.yaml --on ray://127.0.0.1:8265 --shared /mnt/graft',
      about: 'on the machines of a Ray cluster',
    },
  ],
  async run(context) {
    const { values, positionals, signal, commandLine, setExitCode } = context
    if (values.on !== undefined)
      return (await import('../train/train-on-ray.ts')).trainOnRay(context)
    if (values.shared !== undefined)
      throw new UsageError('--shared is for --on: the folder that all machines see.')
    const terminal = values.events ? withSilentReports(context.terminal) : context.terminal
    const { planFromManifests, planFromOptions } = await import('../train/plan-runs.ts')
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
    const lines = values.events ? await openLines(context.terminal) : undefined
    const work = { values, terminal, signal, commandLine, lines }
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

/** With --events stdout has lines of JSON only; everything else goes to stderr. */
const withSilentReports = (terminal: Terminal): Terminal => ({
  ...terminal,
  print: () => undefined,
  say: (line = '') => terminal.note(line),
})

async function openLines({ print, now }: Terminal) {
  const { createLineWriter } = await import('../train/event-lines.ts')
  return createLineWriter((text) => print(text), now)
}

function showFailures(failures: readonly FailedExpert[], { note }: Terminal): void {
  for (const { planned, error } of failures) note(`graft: ${planned.manifest}: ${error.message}`)
}

const summarizeFailure = ({ planned: { manifest, run }, error }: FailedExpert): object => ({
  manifest,
  out: run.out,
  error: { name: error.name, message: error.message },
})
