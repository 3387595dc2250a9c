// The learned parts of a rendered conversation: the assistant's turns, found by rendering the
// conversation up to each of them.

import { OptionError } from '../../base/errors.ts'
import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { TextSpan } from './spans.ts'

/** Text of a conversation; `open` ends it with the opening of the assistant's turn. */
export type RenderChat = (messages: readonly ChatMessage[], open: boolean) => string

interface Turn {
  /** The conversation up to and including this turn. */
  readonly through: string
  /** Where in it the assistant's own text begins. */
  readonly start: number
}

function countCommonPrefix(a: string, b: string): number {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

function renderTurn(messages: readonly ChatMessage[], index: number, render: RenderChat): Turn {
  const history = messages.slice(0, index)
  const through = render(messages.slice(0, index + 1), false)
  if (!through.startsWith(render(history, false)))
    throw new OptionError(
      `The chat template rewrites earlier messages when message ${index + 1} follows, so the assistant's text cannot be separated.`,
    )
  // Not simply the length, because some openings contain more than the finished turn (an empty
  // thought).
  return { through, start: countCommonPrefix(render(history, true), through) }
}

/**
 * The pieces to encode, one list per row. A conversation is one row in which every assistant turn
 * is scored. If the template renders a turn differently once more messages follow (it drops
 * thoughts of earlier turns), each turn becomes a separate row, as the model will see it. Turns
 * before message number `learnedFrom`, and those at the indices `unlearned`, are context only.
 */
export function splitChat(
  messages: readonly ChatMessage[],
  render: RenderChat,
  learnedFrom = 0,
  unlearned: readonly number[] = [],
): TextSpan[][] {
  const turns = messages.flatMap(({ role }, i) =>
    role === 'assistant' && i >= learnedFrom && !unlearned.includes(i)
      ? [renderTurn(messages, i, render)]
      : [],
  )
  const last = turns.at(-1)
  if (!last) throw new OptionError('The conversation has no assistant turn to learn.')
  if (turns.every(({ through }) => last.through.startsWith(through))) {
    let done = 0
    const pieces = turns.flatMap(({ through, start }) => {
      const pair = [
        { text: through.slice(done, start), scored: false },
        { text: through.slice(start), scored: true },
      ]
      done = through.length
      return pair
    })
    return [pieces]
  }
  return turns.map(({ through, start }) => [
    { text: through.slice(0, start), scored: false },
    { text: through.slice(start), scored: true },
  ])
}
