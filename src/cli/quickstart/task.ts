// The contract of a quickstart task: training rows, test rows, generation settings, scoring. One
// file per task, one row in task-table.ts.

import type { LoraConfig } from '../../index.ts'
import type { TrainSettings } from '../../train/options/settings.ts'

export interface TaskExample {
  readonly prompt: string
  readonly completion: string
}

export interface Score {
  readonly name: string
  readonly value: number
  /** What `value` counts out of; a fraction if there is none. */
  readonly of?: number
}

export interface Task {
  readonly name: string
  /** One sentence: what the expert will be able to do. */
  readonly about: string
  readonly system?: string
  /**
   * Where the rows should be found, if they are not there: the package from npm does not carry
   * every data set.
   */
  missing(): string | undefined
  /** Loads the rows. Throws NotFoundError if they are not there. */
  examples(): Promise<{
    readonly train: readonly TaskExample[]
    readonly test: readonly TaskExample[]
  }>
  /** The default number of rows. */
  readonly usualRows: { readonly train: number; readonly test: number }
  readonly config: Partial<LoraConfig>
  readonly training: Partial<TrainSettings>
  /**
   * How answers are written while they are judged. `opening`: what every right answer begins with;
   * one that begins otherwise is not written to its end, since no score can change any more.
   */
  readonly answers: {
    readonly maxTokens: number
    readonly stop?: readonly string[]
    readonly together: number
    readonly opening?: string
  }
  score(answers: readonly string[], rows: readonly TaskExample[]): readonly Score[]
  /** Whether an answer is the wanted one, whole. */
  isRight(answer: string, row: TaskExample): boolean
}
