// Renders a conversation through a model's chat template, as transformers does. The time is an
// argument; no template is built in. One difference stays: printing `none` gives nothing, where
// Python gives the word None, which no template means to say.

import { Environment, Interpreter, parse as parseTokens, tokenize } from '@huggingface/jinja'
import { FormatError, NotFoundError, OptionError } from '../../base/errors.ts'
import { createField, flag, listOf, type OptionFields, record, string } from '../../base/schema.ts'
import { formatDate } from './strftime.ts'

export interface ChatMessage {
  readonly role: string
  readonly content?: unknown
  readonly [key: string]: unknown
}

export interface ChatOptions {
  /** End with the opening of the assistant's turn, for generating. Default false. */
  readonly addGenerationPrompt?: boolean | undefined
  readonly bosToken?: string | undefined
  readonly eosToken?: string | undefined
  /** JSON schemas of functions, for templates that offer tools. */
  readonly tools?: readonly object[] | undefined
  /**
   * What `strftime_now` in a template shows, in local time. Without it the template sees no such
   * function, and its text does not depend on the day.
   */
  readonly now?: Date | undefined
  /** Further variables that the template knows, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined
}

export const chatFields = {
  addGenerationPrompt: flag({ default: false }),
  bosToken: string(),
  eosToken: string(),
  tools: listOf(record),
  now: createField<Date>('a Date', {}, (value) => value instanceof Date),
  variables: record,
} satisfies OptionFields<ChatOptions>

export type ChatRenderer = (messages: readonly ChatMessage[], options?: ChatOptions) => string

/**
 * The text of a conversation; encode it with `addSpecialTokens: false`, since templates write BOS
 * themselves. Throws NotFoundError without a template, FormatError for one that cannot be parsed,
 * OptionError where it refuses the messages.
 */
export function renderChat(
  template: string | undefined,
  messages: readonly ChatMessage[],
  options?: ChatOptions,
): string {
  return compileChatTemplate(template)(messages, options)
}

/** Parses a template once, for rendering many conversations. Throws as `renderChat` does. */
export function compileChatTemplate(template: string | undefined): ChatRenderer {
  if (template === undefined || template === '') {
    throw new NotFoundError(
      'This model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json). Give it plain text instead of messages, or use an instruction-tuned model.',
    )
  }
  const parsed = parseTemplate(template)
  return (messages, options = {}) => {
    try {
      return parsed(collectVariables(messages, options))
    } catch (cause) {
      throw toRefusalError(
        messages,
        cause,
        template.includes('strftime_now') && options.now === undefined,
      )
    }
  }
}

function toRefusalError(
  messages: readonly ChatMessage[],
  cause: unknown,
  lacksDate: boolean,
): OptionError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const roles = messages.map(({ role }) => role).join(', ')
  const advice = lacksDate ? ' The template prints a date: pass the option `now`.' : ''
  return new OptionError(
    `The chat template refuses these ${messages.length} messages (roles: ${roles}): ${reason}${advice}`,
    { cause },
  )
}

/**
 * A renderer of one template. The library's own `Template` fixes the globals, and its strftime_now
 * reads the clock.
 */
function parseTemplate(template: string): (variables: Readonly<Record<string, unknown>>) => string {
  try {
    const program = parseTokens(tokenize(template, { trim_blocks: true, lstrip_blocks: true }))
    return (variables) => {
      const environment = new Environment()
      for (const [name, value] of Object.entries({ ...globals, ...variables }))
        environment.set(name, value)
      return String(new Interpreter(environment).run(program).value)
    }
  } catch (cause) {
    throw new FormatError(
      `The chat template is not valid Jinja: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

/** Jinja's globals, and what transformers adds. */
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range: listRange,
  raise_exception: (message: string) => {
    throw new Error(message)
  },
}

/** Python's range(stop) or range(start, stop, step). */
function listRange(startOrStop: number, stop?: number, step = 1): number[] {
  if (step === 0) throw new Error('range() step must not be zero')
  const [start, end] = stop === undefined ? [0, startOrStop] : [startOrStop, stop]
  return Array.from(
    { length: Math.max(0, Math.ceil((end - start) / step)) },
    (_, i) => start + i * step,
  )
}

/**
 * What a template sees; everything that transformers defines is defined here too, so that `is none`
 * holds where it does there.
 */
function collectVariables(
  messages: readonly ChatMessage[],
  options: ChatOptions,
): Record<string, unknown> {
  const { addGenerationPrompt = false, bosToken, eosToken, tools, now, variables } = options
  return {
    ...(bosToken !== undefined && { bos_token: bosToken }),
    ...(eosToken !== undefined && { eos_token: eosToken }),
    strftime_now: now && ((format: string) => formatDate(now, format)),
    ...variables,
    messages,
    tools: tools ?? null,
    documents: null,
    add_generation_prompt: addGenerationPrompt,
  }
}

/**
 * The template of a model: the file chat_template.jinja first, then the config's (a string, or a
 * list with one named default).
 */
export function findChatTemplate(tokenizerConfig: object, jinjaFile?: string): string | undefined {
  if (jinjaFile !== undefined) return jinjaFile
  const template = (tokenizerConfig as { chat_template?: unknown }).chat_template
  if (typeof template === 'string') return template
  if (!Array.isArray(template)) return undefined
  const entries = template as { name?: unknown; template?: unknown }[]
  const chosen = entries.find(({ name }) => name === 'default')?.template
  return typeof chosen === 'string' ? chosen : undefined
}
