// What a quickstart teaches: rows to learn from, rows to be judged on, how to ask, how to judge. One file per task, one row in tasks.ts.

import type { LoraConfig } from '../../index.ts'
import type { TrainOptions } from '../../index.ts'

export interface TaskRow {
  readonly prompt: string
  readonly completion: string
}

export interface Scores {
  readonly rows: number
  /** By name, each out of `rows` or a fraction, in the order in which they are shown. */
  readonly values: Readonly<Record<string, number>>
}

export interface Task {
  readonly name: string
  /** One sentence: what the expert will be able to do. */
  readonly about: string
  readonly system?: string
  /** Loads the rows. Throws NotFoundError where they are not there. */
  rows(): Promise<{ readonly train: readonly TaskRow[]; readonly test: readonly TaskRow[] }>
  readonly config: Partial<LoraConfig>
  readonly training: Pick<TrainOptions, 'learningRate' | 'epochs' | 'batch' | 'seed'>
  /** How answers are written while they are judged. */
  readonly answers: { readonly maxTokens: number; readonly stop?: readonly string[]; readonly together: number }
  score(answers: readonly string[], rows: readonly TaskRow[]): Scores
}
