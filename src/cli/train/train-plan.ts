// graft train --plan: how much memory and time runs will take, as a table or as JSON. Trains and
// writes nothing.

import type { TrainPlan } from '../../train/estimate/estimate.ts'
import { defaultModel, openModel } from '../shared/open-model.ts'
import { shownPath } from '../shared/shown-path.ts'
import { type ExpertsContext, type PlannedExpert } from './train-experts.ts'
import { count, duration } from '../ui/format.ts'
import { table } from '../ui/table.ts'

const mib = (bytes: number): string => `${count(Math.round(bytes / 2 ** 20))} MiB`

const stepTime = (seconds: number): string =>
  seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds)

/** The plan as lines: what holds the memory, then steps and time. */
export function planLines({
  memory,
  time,
  tokens,
  steps,
  batch,
  trainableParameters,
  notes,
}: TrainPlan): string[] {
  const rows = [
    ['base weights', mib(memory.baseBytes)],
    ['adapter', mib(memory.adapterBytes)],
    ['gradients', mib(memory.gradientBytes)],
    ['optimiser', mib(memory.optimizerBytes)],
    ['activations', mib(memory.activationBytes)],
    ['logits and loss', mib(memory.headBytes)],
    ['programs and arena', mib(memory.runtimeBytes)],
    ['Node and libraries', mib(memory.processBytes)],
    ['peak memory', mib(memory.totalBytes)],
  ]
  return [
    ...table(rows, ['left', 'right']),
    '',
    `${count(steps)} step${steps === 1 ? '' : 's'} of ${count(tokens)} tokens in all; the largest batch is ${batch.rows} × ${batch.tokens}, ${count(batch.scored)} learned; ${count(trainableParameters)} trainable parameters`,
    `about ${duration(time.seconds)}: ${stepTime(time.stepSeconds)} a step, ${count(Math.round(time.tokensPerSecond))} tokens/s`,
    `from ${time.stepGigaOperations.toFixed(1)} billion operations a step and ${time.gigaOperationsPerSecond.toFixed(1)} billion a second, measured for ${time.calibrationSeconds.toFixed(1)} s on this machine as it is now`,
    ...notes,
  ]
}

/** Plans each expert and shows it; one value for one expert, a list for several. */
export async function planExperts(
  planned: readonly PlannedExpert[],
  { values, terminal }: ExpertsContext,
): Promise<unknown> {
  const { planTraining } = await import('../../node/index.ts')
  const plans: ({ out: string } & TrainPlan)[] = []
  for (const { run } of planned) {
    const model = await openModel(run.base ?? defaultModel, values, terminal)
    try {
      const data = run.dataFiles.length === 1 ? run.dataFiles[0]! : run.dataFiles
      const plan = await planTraining({ ...run.options, data, model, date: new Date() })
      terminal.say(
        `${terminal.style.strong(shownPath(run.out))}: ${model.base.name}, from ${run.dataFiles.map(shownPath).join(', ')}`,
      )
      for (const line of planLines(plan)) terminal.say(line === '' ? '' : `  ${line}`)
      plans.push({ out: run.out, ...plan })
    } finally {
      await model.dispose()
    }
  }
  return planned.length === 1 ? plans[0] : { experts: plans }
}
