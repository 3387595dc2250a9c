// What a chat template does with tools, found out by rendering made-up conversations: whether it
// shows functions, writes earlier calls and their results, takes a system message. What it does not
// do is written for it (prepare-chat.ts).

import type { ChatMessage } from '../chat-template.ts'
import { type ArgumentForm, listPrintedForms } from './fit-arguments.ts'

/** Renders messages, with functions in OpenAI's form or without. */
export type ToolChatRenderer = (
  messages: readonly ChatMessage[],
  tools?: readonly object[],
) => string

export interface TemplateSupport {
  readonly showsTools: boolean
  /** The forms of arguments that it writes; none where it leaves calls out. */
  readonly argumentForms: readonly ArgumentForm[]
  readonly showsResults: boolean
  /** Several calls in one message. */
  readonly takesSeveralCalls: boolean
  readonly takesSystem: boolean
}

const needle = 'needle_of_a_probe'
const user = { role: 'user', content: 'a' }

const probeTool = {
  type: 'function',
  function: {
    name: needle,
    description: 'a',
    parameters: { type: 'object', properties: { a: { type: 'string', description: 'a' } } },
  },
}

const createProbeCalls = (form: ArgumentForm | undefined, names: string[]): ChatMessage => ({
  role: 'assistant',
  content: '',
  tool_calls: names.map((name, i) => ({
    id: `00000000${i}`,
    type: 'function',
    function: { name, arguments: form === 'text' ? '{"a": "b"}' : { a: 'b' } },
  })),
})

/** Whether a probe comes out; a template that refuses it does not do it. */
const isShown = (render: () => string): boolean => {
  try {
    return render().includes(needle)
  } catch {
    return false
  }
}

export function inspectTemplate(render: ToolChatRenderer): TemplateSupport {
  const argumentForms = listPrintedForms(render)
  const [form] = argumentForms
  const result = { role: 'tool', name: 'f', tool_call_id: '000000000', content: needle }
  return {
    showsTools: isShown(() => render([user], [probeTool])),
    argumentForms,
    showsResults:
      argumentForms.length > 0 &&
      isShown(() => render([user, createProbeCalls(form, ['f']), result], [probeTool])),
    takesSeveralCalls: isShown(() => render([user, createProbeCalls(form, ['f', needle])])),
    takesSystem: isShown(() => render([{ role: 'system', content: needle }, user])),
  }
}
