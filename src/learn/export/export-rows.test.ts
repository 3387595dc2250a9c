// Rows from rated turns: which turns count as good, and prompts that can be restored as messages.

import { describe, expect, it } from 'vitest'
import type { ExpertText } from '../../adapters/files/expert-text.ts'
import { compileChatTemplate } from '../../formats/text/chat-template.ts'
import { buildRows, judgeTurns } from './export-rows.ts'
import { createConversationReader } from './read-conversation.ts'
import type { StoredTurn } from './read-history.ts'

const chatml =
  "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

/** Ids are places in a list of texts. */
function createText(chatTemplate: string | undefined) {
  const texts: string[] = []
  const encode = (text: string): number[] => [texts.push(text) - 1]
  const decode = (ids: readonly number[]): string => ids.map((id) => texts[id]!).join('')
  const text = { tokenizer: { decode }, chatTemplate, specialTokens: {}, otherTokens: new Map() }
  return { text: text as unknown as ExpertText, encode }
}

let number = 0
const makeTurn = (
  encode: (text: string) => number[],
  prompt: string,
  answer: string,
  more: Partial<StoredTurn> & { replaced?: string } = {},
): StoredTurn => ({
  number: number++,
  place: 0,
  promptIds: encode(prompt),
  answerIds: encode(answer),
  signal: more.signal,
  replacedIds: more.replaced === undefined ? undefined : encode(more.replaced),
})

describe('rows of judged turns', () => {
  const { text, encode } = createText(undefined)
  const { judged, undecided } = judgeTurns(
    [
      makeTurn(encode, 'a', ' good', { signal: { feedback: 'up', latencyRatio: 9 } }),
      makeTurn(encode, 'a', ' bad', { signal: { feedback: 'down' } }),
      makeTurn(encode, 'b', ' right', { replaced: ' wrong' }),
      makeTurn(encode, 'c', ' so-so', { signal: { quality: 0.5 } }),
      makeTurn(encode, 'd', ' weak', { signal: { quality: 0.2 } }),
    ],
    text,
  )
  it('are what was right', () => {
    expect(buildRows(judged, 'answers')).toEqual([
      { prompt: 'a', completion: ' good' },
      { prompt: 'b', completion: ' right' },
    ])
    expect(undecided).toBe(1)
  })
  it('are judged answers, a corrected one among the bad', () => {
    expect(buildRows(judged, 'judged')).toEqual([
      { prompt: 'a', completion: ' good', label: true },
      { prompt: 'a', completion: ' bad', label: false },
      { prompt: 'b', completion: ' right', label: true },
      { prompt: 'b', completion: ' wrong', label: false },
      { prompt: 'd', completion: ' weak', label: false },
    ])
  })
  it('are pairs where one prompt has both', () => {
    expect(buildRows(judged, 'pairs')).toEqual([
      { prompt: 'a', chosen: ' good', rejected: ' bad' },
      { prompt: 'b', chosen: ' right', rejected: ' wrong' },
    ])
  })
  it('take the later word where an answer was judged twice', () => {
    const again = judgeTurns(
      [
        makeTurn(encode, 'e', ' x', { signal: { feedback: 'up' } }),
        makeTurn(encode, 'e', ' x', { signal: { feedback: 'down' } }),
      ],
      text,
    )
    expect(buildRows(again.judged, 'answers')).toEqual([])
  })
})

describe('a prompt of a chat template', () => {
  const render = compileChatTemplate(chatml)
  const read = createConversationReader(chatml, {})
  const cases = [
    [{ role: 'user', content: 'Hi' }],
    [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi\n\nthere' },
      { role: 'assistant', content: 'Hello' },
      { role: 'user', content: '' },
    ],
  ]
  it.each(cases)('comes back as its messages (%#)', (...messages) => {
    expect(read(render(messages, { addGenerationPrompt: true }))).toEqual(messages)
  })
  it('is left out where more was written than messages', () => {
    const { text, encode } = createText(chatml)
    const odd = render([{ role: 'tool', content: '3' }], { addGenerationPrompt: true })
    const turns = [
      makeTurn(encode, odd, 'x'),
      makeTurn(encode, render(cases[0]!, { addGenerationPrompt: true }), 'y'),
    ]
    const { judged, unread } = judgeTurns(turns, text)
    expect(unread).toBe(1)
    expect(buildRows(judged, 'answers')).toEqual([
      { prompt: cases[0], completion: [{ role: 'assistant', content: 'y' }] },
    ])
  })
})
