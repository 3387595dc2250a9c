// The files with a run's history: history.jsonl and loss.svg.

import type { ByteSink } from '../../formats/byte-source.ts'
import type { History } from '../history.ts'
import { drawLossCurve } from './loss-curve.ts'

/** Their names in a run's folder. */
export const historyFiles = ['history.jsonl', 'loss.svg'] as const

/**
 * One line for each step and validation, in the order in which they happened. Keys are named, so
 * that a resumed run writes the same bytes.
 */
export async function writeHistory(history: History, sink: ByteSink): Promise<void> {
  const rows = [
    ...history.steps.map(({ step, loss, learningRate, gradientNorm }) => ({
      type: 'step',
      step,
      loss,
      learningRate,
      gradientNorm,
    })),
    ...history.validations.map(({ step, loss }) => ({ type: 'validation', step, loss })),
  ].sort((a, b) => a.step - b.step)
  const encode = (text: string): Uint8Array[] => [new TextEncoder().encode(text)]
  await sink.write('history.jsonl', encode(rows.map((row) => `${JSON.stringify(row)}\n`).join('')))
  await sink.write('loss.svg', encode(drawLossCurve(history)))
}
