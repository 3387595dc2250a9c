// Events of a training run as events of a job.

import type { TuningEvent } from '../../../server/api/jobs/job-service.ts'
import type { TrainJobEvent } from '../train-process.ts'

type Told = Omit<TuningEvent, 'id' | 'createdAt'>

const createInfo = (message: string): Told => ({ level: 'info', message })

/** undefined for what clients do not see. */
export function describeEvent(event: TrainJobEvent): Told | undefined {
  switch (event.type) {
    case 'data-ready': {
      const { data, steps, resumedAt, trainableParameters } = event
      const begun = resumedAt > 0 ? `continues after step ${resumedAt}` : 'has started'
      return createInfo(
        `The run ${begun}: ${data.examples} examples, ${data.tokens} tokens, ${steps} steps, ${trainableParameters} trainable numbers.`,
      )
    }
    case 'step-end': {
      const { step, steps, loss, learningRate } = event
      return Object.assign(createInfo(`Step ${step}/${steps}: training loss ${loss.toFixed(4)}`), {
        metrics: { step, total_steps: steps, train_loss: loss, learning_rate: learningRate },
      })
    }
    case 'validation-end': {
      const { step, loss } = event
      return Object.assign(createInfo(`Step ${step}: validation loss ${loss.toFixed(4)}`), {
        metrics: { step, valid_loss: loss },
      })
    }
    case 'checkpoint-saved':
      return Object.assign(createInfo(`A checkpoint is written at step ${event.step}.`), {
        checkpoint: event.step,
      })
    case 'kind-changed':
    case 'job-resumed':
      return { level: 'warn', message: `The run continues from a checkpoint: ${event.reason}` }
    case 'evaluation-start':
      return createInfo(`The result is evaluated on ${event.rows} rows.`)
    case 'evaluation-end': {
      const { loss, baseLoss, currentLoss, rows } = event.report
      const serving =
        currentLoss === undefined ? '' : `, the serving version ${currentLoss.toFixed(4)}`
      return createInfo(
        `Evaluated on ${rows} rows: loss ${loss.toFixed(4)}, the base ${baseLoss.toFixed(4)}${serving}.`,
      )
    }
    default:
      return undefined
  }
}

/** The losses by step, as the file of OpenAI's jobs has them. */
export function formatMetricsCsv(events: readonly TuningEvent[]): string {
  const columns = ['step', 'train_loss', 'valid_loss', 'learning_rate']
  const rows = new Map<number, Record<string, number>>()
  for (const { metrics } of events) {
    if (metrics?.['step'] === undefined) continue
    rows.set(metrics['step'], { ...rows.get(metrics['step']), ...metrics })
  }
  const lines = [...rows.values()].map((row) =>
    columns.map((name) => String(row[name] ?? '')).join(','),
  )
  return [columns.join(','), ...lines, ''].join('\n')
}
