// From a conversation to the prompt that the model reads: the expert's template and system message,
// content in parts, an answer that the client has begun.

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

/** For a model that says nothing of its own; llama.cpp does the same. */
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
  /** The answer goes on in the prompt's last text. */
  readonly isBegun: boolean
  /** Further texts that end the answer, where the template's own end is no token. */
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

/** Stands for the end of an answer that the client has begun, while the template is rendered. */
const endMark = '\u{E000}graft-end\u{E000}'

export function createPromptWriter(parts: PromptWriterParts): PromptWriter {
  const { model, chatTemplate } = parts
  const { base } = model
  const { getTemplate, render } = createTemplates(parts)
  const getTokenizer = (expert: Expert | undefined): Tokenizer => {
    const { tokenizer } = getExpertText(base, expert)
    if (tokenizer) return tokenizer
    throw new RequestError('This model has no tokenizer: give token ids instead of text.', {
      code: 'not_supported',
    })
  }
  return {
    getTemplate,
    render,
    getTokenizer,
    writeConversation(conversation, expert, system) {
      const text = render(conversation, expert, system)
      const template = getTemplate(expert)
      // A model's own template writes BOS itself where there is one; others do not know it.
      const isForeign = template === fallbackTemplate || template === chatTemplate
      const bos = getExpertText(base, expert).specialTokens['bos_token']
      const hasBos = bos !== undefined && text.startsWith(bos)
      const ids = getTokenizer(expert).encode(text, { addSpecialTokens: isForeign && !hasBos })
      checkTokensKnown(ids, base, expert)
      const stop = template === fallbackTemplate ? ['<|im_end|>', '<|im_start|>'] : []
      return { ids, text, stop, isBegun: isContinued(conversation) }
    },
    encode: (prompt, expert) => {
      if (typeof prompt === 'string') return model.encode(prompt, {}, expert)
      checkIds(prompt, model.config.vocabularySize)
      return prompt
    },
  }
}

/** Whether the answer goes on in the last message. */
const isContinued = ({ messages, opensAnswer }: Conversation): boolean =>
  messages.at(-1)?.role === 'assistant' && opensAnswer !== true

/** The templates of experts, each parsed once. */
function createTemplates({
  model: { base },
  chatTemplate,
  today,
}: PromptWriterParts): Pick<PromptWriter, 'getTemplate' | 'render'> {
  const renderers = new Map<string, ChatRenderer>()
  const getTemplate = (expert: Expert | undefined): ChatTemplate => {
    const own = getExpertText(base, expert).chatTemplate
    return own !== base.chatTemplate && own !== undefined
      ? own
      : (chatTemplate ?? base.chatTemplate ?? fallbackTemplate)
  }
  const getRenderer = (template: ChatTemplate): ChatRenderer => {
    const key = typeof template === 'string' ? template : JSON.stringify(template)
    const known = renderers.get(key)
    if (known) return known
    const made = compileChatTemplate(template)
    if (renderers.size >= 64) renderers.clear()
    renderers.set(key, made)
    return made
  }
  return {
    getTemplate,
    render(conversation, expert, system) {
      const { messages: given, variables } = conversation
      const template = getTemplate(expert)
      const messages = prepareMessages(given, system)
      const continues = isContinued(conversation)
      const opens = conversation.opensAnswer ?? !continues
      const now = findTaughtDate(expert) ?? today()
      const text = getRenderer(template)(continues ? markEnd(messages) : messages, {
        specialTokens: getExpertText(base, expert).specialTokens,
        addGenerationPrompt: opens,
        ...(now && { now }),
        ...(variables && { variables: checkVariables(variables, template) }),
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

/** Parts of text are joined by a line break, as llama.cpp does for templates that take text. */
const joinContent = (content: unknown): unknown =>
  Array.isArray(content)
    ? content.map((part) => (isRecord(part) ? String(part['text'] ?? '') : String(part))).join('\n')
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

/** Throws RequestError for a variable that the template does not read: it would be without effect. */
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
