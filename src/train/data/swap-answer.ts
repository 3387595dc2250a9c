// A prompt with the answer to another prompt: the counterexample in a loss over rated answers.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { SingleExample } from './data-format.ts'

/** The messages of an answer; those that are learned. */
function listAnswer(example: SingleExample): readonly ChatMessage[] {
  if (example.kind === 'text') return [{ role: 'assistant', content: example.text }]
  if (example.kind === 'completion') return [{ role: 'assistant', content: example.completion }]
  return example.messages.slice(example.learnedFrom ?? 0)
}

/** The prompt of `asked` with the answer of `answered`. */
export function swapAnswer(asked: SingleExample, answered: SingleExample): SingleExample {
  if (asked.kind === 'text') return answered
  if (asked.kind === 'completion' && answered.kind === 'completion')
    return { ...asked, completion: answered.completion }
  const answer = listAnswer(answered)
  if (asked.kind === 'completion')
    return {
      kind: 'chat',
      messages: [
        ...(asked.system === undefined ? [] : [{ role: 'system', content: asked.system }]),
        { role: 'user', content: asked.prompt },
        ...answer,
      ],
      learnedFrom: asked.system === undefined ? 1 : 2,
    }
  const learnedFrom = asked.learnedFrom ?? 0
  const messages = [...asked.messages.slice(0, learnedFrom), ...answer]
  return Object.assign(
    { kind: 'chat' as const, messages, learnedFrom },
    asked.tools && { tools: asked.tools },
  )
}
