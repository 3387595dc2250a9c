// graft train --replicas: shows a run shared by several processes like a single run.

import { availableParallelism } from 'node:os'
import { GraftError, OptionError } from '../../base/errors.ts'
import type { TrainingRun } from '../../node/manifests/training-run.ts'
import { trainInReplicas } from '../../node/replicas/train-in-replicas.ts'
import { findShardProblems } from '../../train/options/settings.ts'
import { checkReplicaCount } from '../../train/replicas/agree.ts'
import { defaultModel } from '../shared/open-model.ts'
import {
  describeStart,
  evaluateExpert,
  type ExpertsContext,
  openBase,
  type PlannedExpert,
  summarizeExpert,
  type TrainedExpert,
} from './train-experts.ts'
import { describeFailed } from './event-lines.ts'
import { showTraining } from './training-view.ts'

/** Cores are dealt to the replicas of this machine. */
const chooseThreads = (given: number | undefined, size: number): number =>
  given ?? Math.max(1, Math.floor(availableParallelism() / size))

/** What the meetings of a run took, as a line; nothing where there was none. */
function describeExchange(times: readonly number[], slowest: readonly number[]): string[] {
  if (times.length === 0) return []
  const median = times.toSorted((a, b) => a - b)[times.length >> 1]!
  const counts = Map.groupBy(slowest, (rank) => rank)
  const [rank] = [...counts].toSorted(([, a], [, b]) => b.length - a.length)[0]!
  return [
    `  gradients added up in ${Math.round(median)} ms at the median; most often the others waited for replica ${rank}`,
  ]
}

/** Reports at once what each replica would report after it has loaded the base. */
function checkShards({ shards, accumulation = 1 }: TrainingRun['options'], size: number): void {
  const parts = shards ?? size
  checkReplicaCount(parts, size)
  const [problem] = findShardProblems({ shards: parts, accumulation })
  if (problem !== undefined) throw new OptionError(problem)
}

/** With --events, the end of the run is a line, too, as it is without replicas. */
export async function trainWithReplicas(
  planned: PlannedExpert,
  command: readonly [string, ...string[]],
  context: ExpertsContext,
): Promise<TrainedExpert> {
  const { lines } = context
  try {
    const trained = await trainTogether(planned, command, context)
    lines?.write(Object.assign({ type: 'expert-end' }, summarizeExpert(trained)))
    return trained
  } catch (error) {
    if (GraftError.isInstance(error)) lines?.write(describeFailed(planned, error))
    throw error
  }
}

async function trainTogether(
  planned: PlannedExpert,
  command: readonly [string, ...string[]],
  context: ExpertsContext,
): Promise<TrainedExpert> {
  const { run } = planned
  const { terminal, values, signal } = context
  const size = values.replicas ?? 1
  const threads = chooseThreads(values.threads, size)
  checkShards(run.options, size)
  terminal.say(
    `${describeStart(planned, run.base ?? defaultModel, terminal)}, in ${size} processes of ${threads === 1 ? 'a thread' : `${threads} threads`} each`,
  )
  const times: number[] = []
  const slowest: number[] = []
  const events = trainInReplicas({
    command,
    size,
    threads,
    signal,
    out: run.out,
    onExchange: (report) => {
      times.push(report.ms)
      slowest.push(report.slowest)
    },
    onLost: ({ attempt, attempts, rank, reason }) =>
      terminal.note(
        `  replica ${rank} was lost (${reason})${attempt < attempts ? `; attempt ${attempt + 1} of ${attempts} continues from the last checkpoint` : ''}`,
      ),
  })
  const told = context.lines?.tell(events, { manifest: planned.manifest }) ?? events
  const end = await showTraining(told, terminal, values)
  for (const line of describeExchange(times, slowest)) terminal.say(line)
  if (end.reason === 'stopped' || !run.evaluation) return { planned, end }
  const { model } = await openBase([planned], context)
  return { planned, end, evaluation: await evaluateExpert(run, end.best.adapter, model, context) }
}
