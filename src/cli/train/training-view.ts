// Shows a training run: a summary of the data, a bar with loss, speed and time left, validations.
// Independent of files.

import type { TrainEvent } from '../../index.ts'
import { formatCount, formatDuration, formatRate } from '../ui/format.ts'
import type { Progress } from '../ui/progress.ts'
import { formatDay } from '../../formats/text/day.ts'
import type { Terminal } from '../ui/terminal.ts'

type Ready = Extract<TrainEvent, { type: 'data-ready' }>
export type TrainEnd = Extract<TrainEvent, { type: 'train-end' }>

const ending = {
  finished: 'finished',
  'early-stopped': 'stopped early',
  stopped: 'stopped',
} as const

const pluralize = (value: number, noun: string): string =>
  `${formatCount(value)} ${noun}${value === 1 ? '' : 's'}`

/** The rows and parts of rows that are not used, a line each. */
export function describeSummary(summary: Ready['data']['summary']): string[] {
  if (!summary) return []
  const { leftOut, readOnlyTurns, brokenText } = summary
  const keys = Object.entries(leftOut).map(([key, rows]) => `${key} (${pluralize(rows, 'row')})`)
  return [
    ...(keys.length > 0 ? [`not used by the format or the chat template: ${keys.join(', ')}`] : []),
    ...(readOnlyTurns > 0
      ? [`${pluralize(readOnlyTurns, 'turn')} of weight 0 only read, not learned`]
      : []),
    ...(brokenText > 0
      ? [`${pluralize(brokenText, 'row')} with half a surrogate pair, read as U+FFFD`]
      : []),
  ]
}

/** The data, a line each: rows, tokens, learned tokens, what is cut or left out. */
export function describeCounts(
  { data, validation }: Pick<Ready, 'data' | 'validation'>,
  more = '',
): string[] {
  const { cut, dropped } = data
  return [
    `${pluralize(data.rows, 'row')} of ${pluralize(data.tokens, 'token')}, ${formatCount(data.scored)} of them learned${more}`,
    ...(cut > 0 ? [`${pluralize(cut, 'row')} cut to the length that fits (--max-tokens)`] : []),
    ...(dropped > 0
      ? [
          `${pluralize(dropped, 'row')} left out: of weight 0, or nothing to learn was left of them within --max-tokens`,
        ]
      : []),
    ...describeSummary(data.summary),
    ...(validation ? [`${pluralize(validation.rows, 'row')} held for validation`] : []),
  ]
}

/** A line if the checkpoint's date replaces that of --date. */
export function describeUnusedDate(
  { checkpointDate }: Pick<Ready, 'checkpointDate'>,
  given: string | undefined,
): string[] {
  if (!checkpointDate || given === undefined) return []
  return [
    `--date ${given} is not used: the run continues with the date of its checkpoint, ${formatDay(checkpointDate)}, so that its data stay the same.`,
  ]
}

/** Fewer steps rarely change what a model writes. */
const usualSteps = 30

/** A warning about a run of few steps, which one epoch of a small file is. */
export const describeFewSteps = (steps: number): string[] =>
  steps < usualSteps
    ? [
        `${pluralize(steps, 'step')} may be too few to learn from; ${usualSteps} or more are usual. Raise --epochs or --steps.`,
      ]
    : []

/** What there is to know before the first step. */
function showReady(
  {
    data,
    validation,
    fill,
    sharedTokens,
    steps,
    learningRate,
    resumedAt,
    trainableParameters,
    refusedCheckpoints,
    protectedTasks,
  }: Ready,
  terminal: Terminal,
): void {
  const shared = sharedTokens > 0 ? `, the first ${sharedTokens} of each row the same` : ''
  const more = `${shared}; packed sequences ${Math.round(100 * fill)} % full`
  for (const line of describeCounts({ data, ...(validation && { validation }) }, more))
    terminal.say(`  ${line}`)
  terminal.say(
    `  ${pluralize(trainableParameters, 'trainable parameter')}, ${pluralize(steps, 'step')}, learning rate ${learningRate}${resumedAt > 0 ? `, continuing after step ${resumedAt}` : ''}`,
  )
  for (const line of describeFewSteps(steps)) terminal.note(`  ${line}`)
  if (protectedTasks !== undefined)
    terminal.say(
      protectedTasks > 0
        ? `  protecting ${pluralize(protectedTasks, 'earlier task')}`
        : '  no earlier task to protect (no ewc.safetensors); this one will be',
    )
  for (const reason of refusedCheckpoints) terminal.note(`  a checkpoint was refused: ${reason}`)
}

/** Further numbers of a loss: '  accuracy 0.95  margin 1.20'. */
const describeMeasures = ({
  measures = {},
}: {
  readonly measures?: Readonly<Record<string, number>>
}): string =>
  Object.entries(measures)
    .map(([name, value]) => `  ${name} ${value.toFixed(2)}`)
    .join('')

/** Passes events on to the terminal until the run ends; returns the last one. */
export async function showTraining(
  events: AsyncIterable<TrainEvent>,
  terminal: Terminal,
  given: { readonly date?: string | undefined } = {},
): Promise<TrainEnd> {
  let progress: Progress | undefined
  let referenceProgress: Progress | undefined
  let measuring: Progress | undefined
  const started = terminal.now()
  let validated = ''
  for await (const event of events) {
    if (event.type === 'data-ready') {
      showReady(event, terminal)
      for (const line of describeUnusedDate(event, given.date)) terminal.note(`  ${line}`)
      progress = terminal.progress('  training', event.steps)
      progress.update(event.resumedAt)
    } else if (event.type === 'rows-asked') {
      referenceProgress ??= terminal.progress(`  asking the ${event.of}`, event.count)
      referenceProgress.update(event.done)
      if (event.done === event.count) referenceProgress.end()
    } else if (event.type === 'step-end') {
      progress?.update(
        event.step,
        `step ${event.step}/${event.steps}  loss ${event.loss.toFixed(3)}${describeMeasures(event)}${validated}  ${formatRate(event.tokensPerSecond)} tokens/s`,
      )
    } else if (event.type === 'kind-changed') {
      terminal.note(`  ${event.reason}`)
      terminal.note(
        `  The DoRA run continues as LoRA after step ${event.goesOnAfter}: A and B stay, the magnitudes are left out.`,
      )
      progress?.update(event.goesOnAfter)
      validated = ''
    } else if (event.type === 'importance-measured') {
      progress?.end(undefined)
      measuring ??= terminal.progress('  measuring what later tasks must keep', event.count)
      measuring.update(event.done)
    } else if (event.type === 'validation-end') {
      validated = `  validation ${event.loss.toFixed(3)}${describeMeasures(event)}`
    } else if (event.type === 'train-end') {
      progress?.end(undefined)
      measuring?.end()
      if (event.ewc)
        terminal.say(`  ${pluralize(event.ewc.tasks, 'task')} protected from what is learned later`)
      const seconds = (terminal.now() - started) / 1000
      terminal.say(
        `  ${ending[event.reason]} after step ${event.last.step} in ${formatDuration(seconds)}; loss ${describeLosses(event)}`,
      )
      return event
    }
  }
  throw new Error('internal: training ended without its last event')
}

/**
 * First and last losses as means over a tenth of the run, since single steps are noisy; validation
 * where there is any.
 */
export function describeLosses({
  history: { steps, validations },
}: Pick<TrainEnd, 'history'>): string {
  const some = Math.max(1, Math.floor(steps.length / 10))
  const mean = (records: readonly { loss: number }[]): string =>
    (records.reduce((sum, { loss }) => sum + loss, 0) / records.length).toFixed(3)
  const best = Math.min(...validations.map(({ loss }) => loss))
  return `${mean(steps.slice(0, some))} → ${mean(steps.slice(-some))}${validations.length > 0 ? `, best validation ${best.toFixed(3)}` : ''}`
}
