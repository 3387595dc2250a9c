// What the examples of adapters over embeddings share: a table of steps with their times, training
// to its end, and an error.

import type { Adapter, StandaloneForward } from '../../src/adapters/index.ts'
import {
  type EmbeddingDataset,
  type StandaloneOptions,
  trainStandalone,
} from '../../src/train/index.ts'

const rows: (readonly [step: string, milliseconds: string, what: string])[] = []

/** Runs a step and records its time and result. */
export async function runStep<Result>(
  name: string,
  work: () => Promise<Result> | Result,
  describe: (result: Result) => string,
): Promise<Result> {
  const start = performance.now()
  const result = await work()
  rows.push([name, (performance.now() - start).toFixed(1), describe(result)])
  return result
}

/** A line of the table that is no step. */
export const note = (what: string): void => void rows.push(['', '', what])

export function printSteps(): void {
  const wide = Math.max(...rows.map(([name]) => name.length))
  const narrow = Math.max(...rows.map(([, ms]) => ms.length), 2)
  console.log(`${'step'.padEnd(wide)}  ${'ms'.padStart(narrow)}  result`)
  for (const [name, ms, what] of rows)
    console.log(`${name.padEnd(wide)}  ${ms.padStart(narrow)}  ${what}`)
}

export async function trainToEnd(
  options: StandaloneOptions,
): Promise<{ adapter: Adapter; loss: string }> {
  for await (const event of trainStandalone(options))
    if (event.type === 'train-end')
      return { adapter: event.adapter, loss: event.best.loss.toFixed(4) }
  throw new Error('training ended without a result')
}

/** Mean squared error over a data set. */
export function measureError(
  forward: StandaloneForward,
  { inputs, targets }: EmbeddingDataset,
): string {
  const y = forward(inputs)
  const sum = y.reduce((total, value, i) => total + (value - targets[i]!) ** 2, 0)
  return (sum / y.length).toFixed(4)
}
