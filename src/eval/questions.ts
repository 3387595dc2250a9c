// From rows to prompts and reference answers.

import { getExpertText } from '../adapters/files/expert-text.ts'
import type { Expert } from '../adapters/index.ts'
import { DataError } from '../base/errors.ts'
import type { ChatMessage } from '../formats/text/chat-template.ts'
import { composePrompt } from '../runtime/chat-prompt.ts'
import type { Model, Prompt } from '../runtime/index.ts'
import type { Example, SingleExample } from '../train/data/data-format.ts'
import { readExamples } from '../train/data/format-table.ts'
import type { RawDataset } from '../train/data/jsonl.ts'

type ChatExample = Extract<SingleExample, { kind: 'chat' }>

export interface Question {
  /** The row's number in its file. */
  readonly number: number
  readonly row: Readonly<Record<string, unknown>>
  readonly example: Example
  /** What the model is asked; undefined for plain text, which asks nothing. */
  prompt(model: Pick<Model, 'base'>, system: string | undefined, expert?: Expert): Prompt
  /** What it should answer, up to the first stop text. */
  readonly wanted: string
}

/** The text up to the first stop text: an answer ends there, so a row is compared up to there. */
export function cutAtStop(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
  return text.slice(0, Math.min(text.length, ...places))
}

/** The last turn of a conversation that is learned, and all before it. */
function splitLastTurn({ messages, unlearned = [] }: ChatExample): {
  readonly earlier: readonly ChatMessage[]
  readonly answer: string
} {
  const last = messages.findLastIndex(
    ({ role }, i) => role === 'assistant' && !unlearned.includes(i),
  )
  return { earlier: messages.slice(0, last), answer: String(messages[last]!.content) }
}

/**
 * The reference answer of a row: the completion, or the last assistant turn; of preferences the
 * chosen one; all of a plain text.
 */
export function getAnswer(example: Example): string {
  const answered = getAnswered(example)
  if (answered.kind === 'text') return answered.text
  return answered.kind === 'completion' ? answered.completion : splitLastTurn(answered).answer
}

/** The answer that an example is judged on: of preferences the chosen one. */
export function getAnswered(example: Example): SingleExample {
  if (example.kind === 'pair') return example.chosen
  if (example.kind === 'judged' || example.kind === 'graded') return example.answer
  if (example.kind !== 'contrastive') return example
  throw new DataError(
    'The rows hold texts to be embedded ("anchor", "positive"), which are not questions; graft serve ranks texts at /v1/rerank.',
  )
}

function createExamplePrompt(
  example: Example,
  name: string,
  number: number,
  model: Pick<Model, 'base'>,
  system: string | undefined,
  expert: Expert | undefined,
): Prompt {
  if (
    example.kind === 'pair' ||
    example.kind === 'judged' ||
    example.kind === 'graded' ||
    example.kind === 'contrastive'
  )
    return createExamplePrompt(getAnswered(example), name, number, model, system, expert)
  if (example.kind === 'text')
    throw new DataError(
      `${name}: row ${number} is plain text without a question; only perplexity can be measured.`,
    )
  if (example.kind === 'completion') {
    const text =
      getExpertText(model.base, expert).chatTemplate === undefined
        ? (example.plainPrompt ?? example.prompt)
        : example.prompt
    return composePrompt(model, text, example.system ?? system, [], expert)
  }
  const { earlier } = splitLastTurn(example)
  const hasSystem = earlier[0]?.role === 'system' || system === undefined
  return hasSystem ? earlier : [{ role: 'system', content: system }, ...earlier]
}

/**
 * The rows of a data set as questions. Throws DataError that names every row which does not fit its
 * format.
 */
export function readQuestions(data: RawDataset, stops: readonly string[] = []): Question[] {
  const rows = new Map(data.rows.map(({ number, value }) => [number, value]))
  return readExamples(data).examples.map(({ number, example }) => ({
    number,
    row: rows.get(number)!,
    example,
    wanted: cutAtStop(getAnswer(example), stops),
    prompt: (model, system, expert) =>
      createExamplePrompt(example, data.name, number, model, system, expert),
  }))
}
