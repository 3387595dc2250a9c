// graft train --plan: estimates memory and time of runs, as a table or as JSON. Trains and writes
// nothing.

import type { TrainPlan } from '../../train/estimate/estimate.ts'
import type { RowSample } from '../../train/datasets/check-data.ts'
import { readDate } from '../shared/date.ts'
import { defaultModel, openModel } from '../shared/open-model.ts'
import { describePath } from '../shared/describe-path.ts'
import { describeData } from './describe-data.ts'
import { type ExpertsContext, type PlannedExpert } from './train-experts.ts'
import { describeCounts, describeFewSteps } from './training-view.ts'
import { formatBytes, formatCount, formatDuration } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'

const formatStepTime = (seconds: number): string =>
  seconds < 1 ? `${Math.round(seconds * 1000)} ms` : formatDuration(seconds)

/** The plan as lines: the data, the memory by purpose, then steps and time. */
export function describePlan({
  data,
  validation,
  memory,
  time,
  tokens,
  steps,
  batch,
  trainableParameters,
  notes,
}: TrainPlan): string[] {
  const rows = [
    ['base weights', formatBytes(memory.baseBytes)],
    ['adapter', formatBytes(memory.adapterBytes)],
    ['gradients', formatBytes(memory.gradientBytes)],
    ['optimiser', formatBytes(memory.optimizerBytes)],
    ['activations', formatBytes(memory.activationBytes)],
    ['logits and loss', formatBytes(memory.headBytes)],
    ['programs and arena', formatBytes(memory.runtimeBytes)],
    ['Node and libraries', formatBytes(memory.processBytes)],
    ['peak memory', formatBytes(memory.totalBytes)],
  ]
  return [
    `format of the rows: ${data.format}`,
    ...describeCounts({ data, ...(validation && { validation }) }),
    '',
    ...formatTable(rows, ['left', 'right']),
    '',
    `${formatCount(steps)} step${steps === 1 ? '' : 's'} of ${formatCount(tokens)} tokens in all; the largest batch is ${batch.rows} × ${batch.tokens}, ${formatCount(batch.scored)} learned; ${formatCount(trainableParameters)} trainable parameters`,
    `about ${formatDuration(time.seconds)}: ${formatStepTime(time.stepSeconds)} a step, ${formatCount(Math.round(time.tokensPerSecond))} tokens/s`,
    `from ${time.stepGigaOperations.toFixed(1)} billion operations a step and ${time.gigaOperationsPerSecond.toFixed(1)} billion a second, measured for ${time.calibrationSeconds.toFixed(1)} s on this machine as it is now`,
    ...describeFewSteps(steps),
    ...notes,
  ]
}

/** Plans each expert and shows it; one value for one expert, a list for several. */
export async function planExperts(
  planned: readonly PlannedExpert[],
  { values, terminal }: ExpertsContext,
): Promise<unknown> {
  const [{ planTraining }, { openData }, { samplePlannedRows }, { describeSample }] =
    await Promise.all([
      import('../../node/index.ts'),
      import('../../node/data.ts'),
      import('./plan-samples.ts'),
      import('../data/data-view.ts'),
    ])
  const plans: ({ out: string; samples: readonly RowSample[] } & TrainPlan)[] = []
  const date = readDate(values.date)
  for (const { run } of planned) {
    const model = await openModel(run.base ?? defaultModel, values, terminal)
    try {
      const data = await openData(run.data)
      const plan = await planTraining({
        ...run.options,
        data,
        model,
        date,
        anyBase: values['any-base'],
      })
      const samples = samplePlannedRows(run, model, data, date)
      terminal.say(
        `${terminal.style.strong(describePath(run.out))}: ${model.base.name}, from ${describeData(run)}`,
      )
      for (const line of describePlan(plan)) terminal.say(line === '' ? '' : `  ${line}`)
      for (const line of samples.flatMap((sample) => describeSample(sample, terminal.style)))
        terminal.say(line === '' ? '' : `  ${line}`)
      plans.push({ out: run.out, ...plan, samples })
    } finally {
      await model.dispose()
    }
  }
  return planned.length === 1 ? plans[0] : { experts: plans }
}
