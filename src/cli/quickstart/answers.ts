// A model's answers to a task's rows, several at a time.

import type { Adapter, Model } from '../../index.ts'
import { promptFor } from '../ask.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { Task, TaskRow } from './task.ts'

export interface AnswerOptions {
  readonly adapter?: Adapter | undefined
  readonly signal: AbortSignal
  readonly label: string
  readonly terminal: Terminal
}

/** The text of each answer, in the rows' order. Rows of like length go together, so that little is padded. */
export async function answersOf(model: Model, task: Task, rows: readonly TaskRow[], options: AnswerOptions): Promise<string[]> {
  const { maxTokens, stop = [], together } = task.answers
  const progress = options.terminal.progress(options.label, rows.length)
  const prompts = rows.map(({ prompt }, row) => ({ row, ids: model.encode(promptFor(model, prompt, task.system)) }))
  const order = prompts.toSorted((a, b) => a.ids.length - b.ids.length)
  const answers: string[] = rows.map(() => '')
  for (let start = 0; start < order.length; start += together) {
    progress.update(start)
    const some = order.slice(start, start + together)
    const written = await model.generateBatch(some.map(({ ids }) => ids), { adapter: options.adapter, maxTokens, stop, signal: options.signal }) // prettier-ignore
    some.forEach(({ row }, i) => (answers[row] = written[i]!.text))
  }
  progress.end()
  return answers
}
