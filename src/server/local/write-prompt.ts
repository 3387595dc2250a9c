// Turns a conversation into the prompt that the model reads: the expert's template and system
// message, content in parts, an answer that the client has begun.

import {
  checkTokensKnown,
  findTaughtDate,
  getExpertText,
} from '../../adapters/files/expert-text.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import {
  type ChatMessage,
  type ChatRenderer,
  type ChatTemplate,
  compileChatTemplate,
} from '../../formats/text/chat-template.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import type { Model } from '../../runtime/model.ts'
import { RequestError } from '../request-error.ts'
import type { Conversation, PlainPrompt } from '../service.ts'
import { type AnswerForm, type ChatForm, createChatForm } from './chat-form.ts'

/** For a model without a template; llama.cpp uses the same. */
export const fallbackTemplate = [
  '{% for message in messages %}',
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}",
  '{% endfor %}',
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('')

export interface PromptWriterParts {
  readonly model: Model
  /** In place of the base's own template. */
  readonly chatTemplate?: string | undefined
  /** What templates show as the date, unless the expert was taught with another. */
  readonly today: () => Date | undefined
}

export interface WrittenPrompt {
  readonly ids: readonly number[]
  readonly text: string
  /** The answer continues the prompt's last text. */
  readonly isBegun: boolean
  /** How the answer of a conversation is read. */
  readonly form?: AnswerForm | undefined
  /** Further texts that end the answer, if the template's end is not a token. */
  readonly stop: readonly string[]
}

export interface PromptWriter {
  /** The template of an expert: its own, else the server's, else the base's, else ChatML. */
  getTemplate(expert: Expert | undefined): ChatTemplate
  render(conversation: Conversation, expert: Expert | undefined, system?: string): string
  writeConversation(
    conversation: Conversation,
    expert: Expert | undefined,
    system?: string,
  ): WrittenPrompt
  /** Ids of text, with BOS where the tokenizer adds it; ids are checked and stay. */
  encode(prompt: PlainPrompt, expert: Expert | undefined): readonly number[]
  getTokenizer(expert: Expert | undefined): Tokenizer
}

/** Marks the end of an answer that the client has begun, while the template is rendered. */
const endMark = '\u{E000}graft-end\u{E000}'

export function createPromptWriter(parts: PromptWriterParts): PromptWriter {
  const { model, chatTemplate } = parts
  const { base } = model
  const getTokenizer = (expert: Expert | undefined): Tokenizer => {
    const { tokenizer } = getExpertText(base, expert)
    if (tokenizer) return tokenizer
    throw new RequestError('This model has no tokenizer: give token ids instead of text.', {
      code: 'not_supported',
    })
  }
  const { getTemplate, getForm, render } = createTemplates(parts, getTokenizer)
  return {
    getTemplate,
    render,
    getTokenizer,
    writeConversation(conversation, expert, system) {
      const text = render(conversation, expert, system)
      const template = getTemplate(expert)
      // A model's own template writes BOS itself if there is one; others do not know it.
      const isForeign = template === fallbackTemplate || template === chatTemplate
      const bos = getExpertText(base, expert).specialTokens['bos_token']
      const hasBos = bos !== undefined && text.startsWith(bos)
      const ids = getTokenizer(expert).encode(text, { addSpecialTokens: isForeign && !hasBos })
      checkTokensKnown(ids, base, expert)
      const stop = template === fallbackTemplate ? ['<|im_end|>', '<|im_start|>'] : []
      const form = getForm(expert).describeAnswer(conversation, text.slice(-64))
      return { ids, text, stop, form, isBegun: isContinued(conversation) }
    },
    encode: (prompt, expert) => {
      if (typeof prompt === 'string') return model.encode(prompt, {}, expert)
      checkIds(prompt, model.config.vocabularySize)
      return prompt
    },
  }
}

/** Whether the answer continues the last message. */
const isContinued = ({ messages, opensAnswer }: Conversation): boolean =>
  messages.at(-1)?.role === 'assistant' && opensAnswer !== true

interface Templates extends Pick<PromptWriter, 'getTemplate' | 'render'> {
  getForm(expert: Expert | undefined): ChatForm
}

/** The templates of experts, each parsed and examined once. */
function createTemplates(
  { model: { base }, chatTemplate, today }: PromptWriterParts,
  getTokenizer: PromptWriter['getTokenizer'],
): Templates {
  const known = new Map<string, { readonly render: ChatRenderer; readonly form: ChatForm }>()
  const getTemplate = (expert: Expert | undefined): ChatTemplate => {
    const own = getExpertText(base, expert).chatTemplate
    return own !== base.chatTemplate && own !== undefined
      ? own
      : (chatTemplate ?? base.chatTemplate ?? fallbackTemplate)
  }
  const open = (expert: Expert | undefined) => {
    const template = getTemplate(expert)
    const { specialTokens } = getExpertText(base, expert)
    const key = JSON.stringify([template, specialTokens])
    const found = known.get(key)
    if (found) return found
    const render = compileChatTemplate(template)
    const form = createChatForm(template, render, specialTokens, getTokenizer(expert))
    if (known.size >= 64) known.clear()
    known.set(key, { render, form })
    return { render, form }
  }
  return {
    getTemplate,
    getForm: (expert) => open(expert).form,
    render(conversation, expert, system) {
      const { variables } = conversation
      const { render, form } = open(expert)
      const given = prepareMessages(conversation.messages, system)
      const { messages, tools } = form.prepare({ ...conversation, messages: given })
      const continues = isContinued(conversation)
      const now = findTaughtDate(expert) ?? today()
      const text = render(continues ? markEnd(messages) : messages, {
        specialTokens: getExpertText(base, expert).specialTokens,
        addGenerationPrompt: conversation.opensAnswer ?? !continues,
        ...(now && { now }),
        ...(tools && { tools }),
        ...(variables && { variables: checkVariables(variables, getTemplate(expert)) }),
      })
      return continues ? cutAtMark(text) : text
    },
  }
}

function checkIds(ids: readonly number[], vocabularySize: number): void {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize)
  if (wrong === undefined) return
  throw new RequestError(
    `The prompt has the token id ${wrong}; ids are integers from 0 to ${vocabularySize - 1}.`,
    { param: 'prompt', code: 'invalid_value' },
  )
}

/** Parts become one text, developers are the system, and the expert's own system comes first. */
function prepareMessages(messages: readonly ChatMessage[], system?: string): ChatMessage[] {
  if (messages.at(-1)?.role === 'assistant' && messages.at(-2)?.role === 'assistant')
    throw new RequestError(
      'The last two messages are both of the assistant. An answer is continued from one message: join them.',
      { param: `messages.${messages.length - 1}.role`, code: 'invalid_value' },
    )
  const made = messages.map((message) => {
    const role = message.role === 'developer' ? 'system' : message.role
    return { ...message, role, content: joinContent(message.content) }
  })
  const hasSystem = made.some(({ role }) => role === 'system')
  return system === undefined || hasSystem ? made : [{ role: 'system', content: system }, ...made]
}

const toText = (value: unknown = ''): string =>
  typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value)

/** Parts of text are joined by a line break, as llama.cpp does for templates that take text. */
const joinContent = (content: unknown): unknown =>
  Array.isArray(content)
    ? content.map((part) => toText(isRecord(part) ? part['text'] : part)).join('\n')
    : (content ?? '')

const markEnd = (messages: readonly ChatMessage[]): ChatMessage[] =>
  messages.map((message, i) =>
    i === messages.length - 1 ? { ...message, content: `${message.content}${endMark}` } : message,
  )

function cutAtMark(text: string): string {
  const at = text.lastIndexOf(endMark)
  if (at >= 0) return text.slice(0, at)
  throw new OptionError(
    'The chat template does not show the last message as it is, so the answer cannot be continued from it. Let the last message be the user’s.',
  )
}

/**
 * Throws RequestError for a variable that the template does not read, because it would have no
 * effect.
 */
function checkVariables(
  variables: Readonly<Record<string, unknown>>,
  template: ChatTemplate,
): Readonly<Record<string, unknown>> {
  const text = typeof template === 'string' ? template : Object.values(template).join('\n')
  for (const name of Object.keys(variables)) {
    if (['messages', 'tools', 'documents', 'add_generation_prompt'].includes(name))
      throw new RequestError(`The template variable ${JSON.stringify(name)} is not for clients.`, {
        param: `chat_template_kwargs.${name}`,
      })
    if (!/^\w{1,64}$/.test(name) || !new RegExp(`\\b${name}\\b`).test(text))
      throw new RequestError(
        `The chat template reads no variable ${JSON.stringify(name.slice(0, 64))}, so it would have no effect.`,
        { param: `chat_template_kwargs.${name.slice(0, 64)}`, code: 'not_supported' },
      )
  }
  return variables
}
