// Recovers the messages from the rendered text of a prompt, so that a row of training data has the
// roles. The result is rendered again and compared: a prompt that differs is not used.

import {
  type ChatMessage,
  type ChatTemplate,
  compileChatTemplate,
} from '../../formats/text/chat-template.ts'
import type { SpecialTokens } from '../../formats/text/tokenizer.ts'

/** What is between the contents of messages. */
interface Frame {
  readonly hasSystem: boolean
  readonly before: string
  readonly afterSystem: string
  readonly afterUser: string
  readonly afterAssistant: string
  readonly end: string
}

export type ConversationReader = (text: string) => readonly ChatMessage[] | undefined

const marks = { system: 'qzsystemzq', user: 'qzuserzq', assistant: 'qzanswerzq', last: 'qzlastzq' }

/** Reads a prompt that a chat template rendered up to the start of the answer. */
export function createConversationReader(
  template: ChatTemplate,
  specialTokens: SpecialTokens,
): ConversationReader {
  const compiled = compileChatTemplate(template)
  const render = (messages: readonly ChatMessage[]): string | undefined => {
    try {
      return compiled(messages, { addGenerationPrompt: true, specialTokens })
    } catch {
      return undefined // a template may refuse a system message, or need the date
    }
  }
  // a system message that the template adds is not part of the conversation
  const frames = [false, true].flatMap((hasSystem) => findFrame(hasSystem, render) ?? [])
  return (text) => {
    for (const frame of frames) {
      const messages = splitByFrame(text, frame)
      if (messages && render(messages) === text) return messages
    }
    return undefined
  }
}

function findFrame(
  hasSystem: boolean,
  render: (messages: readonly ChatMessage[]) => string | undefined,
): Frame | undefined {
  const text = render([
    ...(hasSystem ? [{ role: 'system', content: marks.system }] : []),
    { role: 'user', content: marks.user },
    { role: 'assistant', content: marks.assistant },
    { role: 'user', content: marks.last },
  ])
  const order = [...(hasSystem ? [marks.system] : []), marks.user, marks.assistant, marks.last]
  const parts = text?.split(new RegExp(order.join('|')))
  if (parts?.length !== order.length + 1) return undefined
  const [before, ...others] = parts as [string, ...string[]]
  const [afterSystem, afterUser, afterAssistant, end] = (hasSystem ? others : ['', ...others]) as [
    string,
    string,
    string,
    string,
  ]
  return { hasSystem, before, afterSystem, afterUser, afterAssistant, end }
}

function splitByFrame(text: string, frame: Frame): ChatMessage[] | undefined {
  const { hasSystem, before, afterSystem, afterUser, afterAssistant, end } = frame
  if (!text.startsWith(before) || !text.endsWith(end)) return undefined
  let rest = text.slice(before.length, text.length - end.length)
  const messages: ChatMessage[] = []
  const take = (role: string, until: string): boolean => {
    const at = until === '' ? -1 : rest.indexOf(until)
    if (at < 0) return false
    messages.push({ role, content: rest.slice(0, at) })
    rest = rest.slice(at + until.length)
    return true
  }
  if (hasSystem && !take('system', afterSystem)) return undefined
  while (take('user', afterUser)) if (!take('assistant', afterAssistant)) return undefined
  return [...messages, { role: 'user', content: rest }]
}
