// Renders a conversation through a model's chat template, as transformers does. The time is an
// argument; no template is built in.

import { FormatError, NotFoundError, OptionError } from '../../base/errors.ts'
import {
  createField,
  flag,
  listOf,
  mapOf,
  type OptionFields,
  record,
  string,
} from '../../base/schema.ts'
import { templateFunctions } from './jinja/globals.ts'
import { parseTemplate } from './jinja/parse-template.ts'
import { renderTemplate } from './jinja/run.ts'
import { toTemplateValue } from './jinja/values.ts'
import { formatDate } from './strftime.ts'
import type { SpecialTokens } from './tokenizer.ts'

/** A template, or several by name: `tool_use` is used when tools are given, else `default`. */
export type ChatTemplate = string | Readonly<Record<string, string>>

export interface ChatMessage {
  readonly role: string
  readonly content?: unknown
  readonly [key: string]: unknown
}

export interface ChatOptions {
  /** End with the opening of the assistant's turn, for generating. Default false. */
  readonly addGenerationPrompt?: boolean | undefined
  /** Special tokens by the names that templates know: `bos_token`, `eos_token`, `pad_token`. */
  readonly specialTokens?: SpecialTokens | undefined
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
  specialTokens: mapOf(string()),
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
 * OptionError if it refuses the messages.
 */
export function renderChat(
  template: ChatTemplate | undefined,
  messages: readonly ChatMessage[],
  options?: ChatOptions,
): string {
  return compileChatTemplate(template)(messages, options)
}

/** Parses a template once, for rendering many conversations. Throws as `renderChat` does. */
export function compileChatTemplate(template: ChatTemplate | undefined): ChatRenderer {
  if (template === undefined || template === '') {
    throw new NotFoundError(
      'This model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json). Give it plain text instead of messages, or use an instruction-tuned model.',
    )
  }
  if (typeof template === 'string') return compileTemplate(template)
  const compiled = new Map<string, ChatRenderer>()
  return (messages, options = {}) => {
    const name = chooseTemplate(template, options)
    const render = compiled.get(name) ?? compileTemplate(template[name]!)
    compiled.set(name, render)
    return render(messages, options)
  }
}

/** The name that transformers chooses. Throws NotFoundError if it finds none. */
function chooseTemplate(templates: Readonly<Record<string, string>>, options: ChatOptions): string {
  if (options.tools && Object.hasOwn(templates, 'tool_use')) return 'tool_use'
  if (Object.hasOwn(templates, 'default')) return 'default'
  const names = Object.keys(templates).sort().join(', ')
  throw new NotFoundError(
    `This model has several chat templates (${names}), but none named default${options.tools ? '' : ', and no tools are given'}. Give tools for the one named tool_use, or put the one you want into the model's folder as chat_template.jinja.`,
  )
}

function compileTemplate(template: string): ChatRenderer {
  const program = parseChatTemplate(template)
  return (messages, options = {}) => {
    try {
      return renderTemplate(program, collectVariables(messages, options))
    } catch (cause) {
      throw toRefusalError(messages, cause, needsDate(template) && options.now === undefined)
    }
  }
}

/** Whether a template can show the date, so that its text depends on the day. */
export const needsDate = (template: ChatTemplate | undefined): boolean =>
  typeof template === 'string'
    ? template.includes('strftime_now')
    : Object.values(template ?? {}).some(needsDate)

function parseChatTemplate(template: string): ReturnType<typeof parseTemplate> {
  try {
    return parseTemplate(template)
  } catch (cause) {
    throw new FormatError(
      `The chat template is not valid Jinja: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
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
 * What a template sees; everything that transformers defines is defined here too, so that `is none`
 * gives the same result.
 */
function collectVariables(
  messages: readonly ChatMessage[],
  options: ChatOptions,
): Map<string, unknown> {
  const { addGenerationPrompt = false, tools, now, variables = {} } = options
  const values = new Map(templateFunctions)
  const set = (name: string, value: unknown): void => {
    if (value !== undefined) values.set(name, toTemplateValue(value))
  }
  for (const [name, token] of Object.entries(options.specialTokens ?? {})) set(name, token)
  set('bos_token', options.bosToken)
  set('eos_token', options.eosToken)
  set('strftime_now', now && ((format: string) => formatDate(now, format)))
  for (const [name, value] of Object.entries(variables)) set(name, value)
  set('messages', messages.map(completeMessage))
  set('tools', tools ?? null)
  set('documents', null)
  set('add_generation_prompt', addGenerationPrompt)
  return values
}

const reasoningKeys = ['reasoning_content', 'thinking', 'reasoning']

/**
 * A message as transformers hands it to a template: without keys that are null, and a thought under
 * both names that templates read.
 */
function completeMessage(message: ChatMessage): object {
  const given = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  )
  const thought = reasoningKeys.map((key) => given[key]).find((value) => value !== undefined)
  if (thought === undefined) return given
  return Object.assign({ thinking: thought }, given, { reasoning_content: thought })
}

/** Templates in a model's folder in addition to its tokenizer_config.json. */
export interface TemplateFiles {
  /** The text of chat_template.jinja. */
  readonly jinja?: string | undefined
  /** The text of additional_chat_templates/tool_use.jinja. */
  readonly toolUse?: string | undefined
}

/**
 * The template of a model, as transformers finds it: files first, then the config's (a string, or a
 * list of names and templates).
 */
export function findChatTemplate(
  tokenizerConfig: object,
  { jinja, toolUse }: TemplateFiles = {},
): ChatTemplate | undefined {
  if (toolUse !== undefined)
    return { ...(jinja !== undefined && { default: jinja }), tool_use: toolUse }
  if (jinja !== undefined) return jinja
  const template = (tokenizerConfig as { chat_template?: unknown }).chat_template
  if (typeof template === 'string') return template
  if (Array.isArray(template)) return readNamedTemplates(template)
  return typeof template === 'object' && template !== null
    ? readNamedTemplates(
        Object.entries(template).map(([name, text]) => ({ name, template: text as unknown })),
      )
    : undefined
}

function readNamedTemplates(entries: readonly unknown[]): ChatTemplate | undefined {
  const named = entries.map((entry) => {
    const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown }
    if (typeof name !== 'string' || typeof template !== 'string')
      throw new FormatError(
        'tokenizer_config.json: chat_template is a list, but an entry of it is not { "name": text, "template": text }.',
      )
    return [name, template] as const
  })
  return named.length > 0 ? Object.fromEntries(named) : undefined
}
