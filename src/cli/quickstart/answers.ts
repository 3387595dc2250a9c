// Generates a model's answers to the rows of a task, in batches.

import type { Adapter, Model } from '../../index.ts'
import { composePrompt } from '../../runtime/chat-prompt.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { Task, TaskExample } from './task.ts'

export interface AnswerOptions {
  readonly adapter?: Adapter | undefined
  readonly signal: AbortSignal
  readonly label: string
  readonly terminal: Terminal
}

const openingTokens = 8 // enough to see white space and the first sign

/**
 * The text of each answer, in the order of the rows. An answer whose beginning is wrong is cut
 * after its first words. Rows of similar length share a batch, which needs little padding.
 */
export async function generateAnswers(
  model: Model,
  task: Task,
  rows: readonly TaskExample[],
  options: AnswerOptions,
): Promise<string[]> {
  const { maxTokens, stop = [], together, opening } = task.answers
  const { adapter, signal } = options
  const progress = options.terminal.progress(options.label, rows.length)
  const prompts = rows.map(({ prompt }, row) => ({
    row,
    ids: model.encode(composePrompt(model, prompt, task.system)),
  }))
  const order = prompts.toSorted((a, b) => a.ids.length - b.ids.length)
  const answers: string[] = rows.map(() => '')
  const write = async (some: typeof prompts, tokens: number): Promise<void> => {
    const written = await model.generateBatch(
      some.map(({ ids }) => ids),
      { adapter, maxTokens: tokens, stop, signal },
    )
    some.forEach(({ row }, i) => (answers[row] = written[i]!.text))
  }
  for (let start = 0; start < order.length; start += together) {
    progress.update(start)
    let some = order.slice(start, start + together)
    if (opening !== undefined) {
      await write(some, openingTokens)
      some = some.filter(({ row }) => answers[row]!.trimStart().startsWith(opening))
    }
    if (some.length > 0) await write(some, maxTokens)
  }
  progress.end()
  return answers
}
