// Turns for a learner from rows of a data file, in the formats of training: each answer of a
// conversation is a turn. Independent of the learner.

import type { Adapter } from '../../adapters/index.ts'
import { getExpertText } from '../../adapters/files/expert-text.ts'
import { DataError } from '../../base/errors.ts'
import { computeContextLimit } from '../../graph/rope.ts'
import type { TurnExample } from '../../learn/index.ts'
import type { LoadedModel } from '../../node/model.ts'
import { composePrompt } from '../../runtime/chat-prompt.ts'
import type { SingleExample } from '../../train/data/data-format.ts'
import { readExamples } from '../../train/data/format-table.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'

export interface Turns {
  readonly turns: readonly TurnExample[]
  /** Left out: longer than the model's context. */
  readonly tooLong: number
}

/** The tokenizer of the turns. */
export interface TurnReader {
  readonly model: LoadedModel
  /** Its tokenizer and chat template stand for the base's, where it has them. */
  readonly expert: Adapter | undefined
}

type ChatExample = Extract<SingleExample, { kind: 'chat' }>

/**
 * Throws DataError for rows of an unknown format, and for pairs, because neither of their answers
 * was given.
 */
export function readTurns(
  { model, expert }: TurnReader,
  data: RawDataset,
  system: string | undefined,
): Turns {
  const { examples } = readExamples(data)
  const all = examples.flatMap(({ number, example, weight }) => {
    if (example.kind === 'pair')
      throw new DataError(
        `${data.name}: row ${number} is a pair of answers, and a learner learns from correct answers only; graft train --loss dpo learns from pairs.`,
      )
    if (example.kind === 'graded')
      throw new DataError(
        `${data.name}: row ${number} is an answer with a reward, and a learner learns from correct answers only; graft train --loss grpo learns from rewards.`,
      )
    if (example.kind === 'contrastive')
      throw new DataError(
        `${data.name}: row ${number} contains texts to be embedded, and a learner learns from correct answers only; graft train --loss contrastive learns from such texts.`,
      )
    if (example.kind === 'judged')
      throw new DataError(
        `${data.name}: row ${number} is a rated answer, and a learner learns from correct answers only; graft train --loss kto learns from rated ones.`,
      )
    return weight > 0 ? splitIntoTurns({ model, expert }, example, system) : []
  })
  const limit = computeContextLimit(model.config)
  const turns = all.filter((turn) => countTokens({ model, expert }, turn) <= limit)
  if (turns.length === 0)
    throw new DataError(`${data.name}: no row holds an answer that fits into the model's context.`)
  return { turns, tooLong: all.length - turns.length }
}

function countTokens({ model, expert }: TurnReader, { prompt, completion }: TurnExample): number {
  const { tokenizer } = getExpertText(model.base, expert)
  return model.encode(prompt, {}, expert).length + (tokenizer?.encode(completion).length ?? 0) + 1
}

function splitIntoTurns(
  { model, expert }: TurnReader,
  example: SingleExample,
  system: string | undefined,
): TurnExample[] {
  if (example.kind === 'chat') return listAnswers(example, system)
  if (example.kind === 'text') return splitText(example.text)
  const { prompt, plainPrompt = prompt, completion } = example
  const { chatTemplate } = getExpertText(model.base, expert)
  const asked = chatTemplate === undefined ? plainPrompt : prompt
  const whole = composePrompt(model, asked, example.system ?? system, [], expert)
  return [{ prompt: whole, completion }]
}

/** The assistant's messages, each with the messages before it. */
function listAnswers(
  { messages, learnedFrom = 0, unlearned = [] }: ChatExample,
  system: string | undefined,
): TurnExample[] {
  const opening =
    system !== undefined && messages[0]?.role !== 'system'
      ? [{ role: 'system', content: system }]
      : []
  return messages.flatMap(({ role, content }, i) =>
    role === 'assistant' &&
    i >= learnedFrom &&
    !unlearned.includes(i) &&
    typeof content === 'string' &&
    content !== ''
      ? [{ prompt: [...opening, ...messages.slice(0, i)], completion: content }]
      : [],
  )
}

/** Everything after the first word of a text is learned. */
function splitText(text: string): TurnExample[] {
  const [first = ''] = /^\s*\S+/.exec(text) ?? []
  return first === '' || first.length === text.length
    ? []
    : [{ prompt: first, completion: text.slice(first.length) }]
}
