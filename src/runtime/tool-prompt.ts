// Turns a conversation with tools into a request: prompt ids, special tokens to keep in the text, a
// grammar, and a parser of the answer. Uses the template and call format of the expert, else of the
// model.

import { getExpertText, type ExpertText } from '../adapters/files/expert-text.ts'
import type { Expert } from '../adapters/index.ts'
import type { GrammarChoice } from '../formats/grammar/grammar-choice.ts'
import {
  type ChatMessage,
  type ChatOptions,
  compileChatTemplate,
} from '../formats/text/chat-template.ts'
import {
  createToolCallParser,
  isInsideReasoning,
  type ToolCallParser,
} from '../formats/text/tool-calls/create-parser.ts'
import { describeToolGrammar } from '../formats/text/tool-calls/describe-grammar.ts'
import { detectToolCallFormat, getToolCallFormat } from '../formats/text/tool-calls/format-table.ts'
import { prepareToolChat } from '../formats/text/tool-calls/prepare-chat.ts'
import {
  inspectTemplate,
  type TemplateSupport,
} from '../formats/text/tool-calls/template-support.ts'
import type { ToolCallFormat } from '../formats/text/tool-calls/tool-call-format.ts'
import { readToolChoice, readToolDefinitions } from '../formats/text/tool-calls/tool-definition.ts'
import type { Model } from './model.ts'

export interface ToolPromptOptions {
  readonly messages: readonly ChatMessage[]
  /** Functions in OpenAI's form, with or without its wrapper, or in Anthropic's. */
  readonly tools?: readonly object[] | undefined
  /** 'auto', 'none', 'required', or OpenAI's form of one function's name. Default 'auto'. */
  readonly toolChoice?: unknown
  /** At most one call. Default false. */
  readonly oneCall?: boolean | undefined
  /** The name of a call format. Default: the one that the chat template suggests. */
  readonly format?: string | undefined
  readonly expert?: Expert | undefined
  readonly chat?: Omit<ChatOptions, 'tools'> | undefined
}

export interface ToolPrompt {
  readonly format: ToolCallFormat
  /** The prompt. */
  readonly ids: number[]
  /** The option `keepTokens` of the request. */
  readonly keepTokens: readonly string[]
  /** The option `grammar` of the request, if the choice requires calls. */
  readonly grammar: GrammarChoice | undefined
  /** For one answer; of several answers each needs its own. */
  createParser(): ToolCallParser
}

interface ToolTemplate {
  readonly format: ToolCallFormat
  readonly support: TemplateSupport
}

const nowhere: TemplateSupport = {
  showsTools: false,
  argumentForms: [],
  showsResults: false,
  takesSeveralCalls: false,
  takesSystem: true,
}

const templates = new WeakMap<ExpertText, ToolTemplate>()

/** The template's capabilities, detected once. */
function getToolTemplate(text: ExpertText): ToolTemplate {
  const known = templates.get(text)
  if (known) return known
  const { tokenizer, chatTemplate, specialTokens } = text
  const format = detectToolCallFormat(
    chatTemplate,
    (token) => tokenizer?.tokenId(token) !== undefined,
  )
  const made = { format, support: inspectSupport(chatTemplate, specialTokens) }
  templates.set(text, made)
  return made
}

function inspectSupport(
  chatTemplate: ExpertText['chatTemplate'],
  specialTokens: ExpertText['specialTokens'],
): TemplateSupport {
  if (chatTemplate === undefined) return nowhere
  const render = compileChatTemplate(chatTemplate)
  // The date does not matter; a fixed one gives the same result every time.
  const now = new Date(0)
  return inspectTemplate((messages, tools) =>
    render(messages, { specialTokens, now, ...(tools && { tools }) }),
  )
}

/**
 * Encodes a conversation whose model may call tools. Throws OptionError for tools or a choice that
 * are wrong, or messages that the template refuses.
 */
export function createToolPrompt(
  model: Pick<Model, 'base' | 'encode'>,
  {
    messages,
    tools: given = [],
    toolChoice,
    oneCall,
    format: name,
    expert,
    chat,
  }: ToolPromptOptions,
): ToolPrompt {
  const all = readToolDefinitions(given)
  const choice = readToolChoice(toolChoice, all)
  const tools = choice === 'none' ? [] : all
  const text = getExpertText(model.base, expert)
  const template = getToolTemplate(text)
  const format = name === undefined ? template.format : getToolCallFormat(name)
  const prepared = prepareToolChat(messages, tools, format, template.support)
  const chatOptions = { ...chat, ...(prepared.tools && { tools: prepared.tools }) }
  const ids = model.encode(prepared.messages, chatOptions, expert)
  const inReasoning = isInsideReasoning(format, text.tokenizer?.decode(ids.slice(-16)) ?? '')
  return {
    format,
    ids,
    keepTokens: format.markers,
    grammar:
      choice === 'auto' ? undefined : describeToolGrammar(format, tools, choice, { oneCall }),
    createParser: () => createToolCallParser(format, { tools, inReasoning }),
  }
}
