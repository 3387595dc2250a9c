// A chat template's support of tools, and its format of calls and of reasoning, by which answers
// are read. Determined once for each template.

import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import type { ChatRenderer, ChatTemplate } from '../../formats/text/chat-template.ts'
import {
  createToolCallParser,
  isInsideReasoning,
  type ToolCallParser,
} from '../../formats/text/tool-calls/create-parser.ts'
import { describeToolGrammar } from '../../formats/text/tool-calls/describe-grammar.ts'
import {
  detectToolCallFormat,
  getToolTemplate,
} from '../../formats/text/tool-calls/format-table.ts'
import { prepareToolChat, type ToolChat } from '../../formats/text/tool-calls/prepare-chat.ts'
import {
  inspectTemplate,
  type TemplateSupport,
} from '../../formats/text/tool-calls/template-support.ts'
import type {
  ToolCallFormat,
  ToolChoice,
  ToolDefinition,
} from '../../formats/text/tool-calls/tool-call-format.ts'
import {
  readToolChoice,
  readToolDefinitions,
} from '../../formats/text/tool-calls/tool-definition.ts'
import type { SpecialTokens, Tokenizer } from '../../formats/text/tokenizer.ts'
import type { Conversation } from '../service.ts'

/** How one answer of a conversation is read. */
export interface AnswerForm {
  /** Special tokens that its text keeps. */
  readonly keepTokens: readonly string[]
  /** Constrains the answer to calls, if calls are required. */
  readonly grammar: GrammarChoice | undefined
  /** A grammar guarantees the calls, so they may be emitted while they are written. */
  readonly isCertain: boolean
  createParser(): ToolCallParser
}

export interface ChatForm {
  /** The messages as the template takes them, and the tools that it shows. */
  prepare(conversation: Conversation): ToolChat
  /** `end`: the last text of the prompt. */
  describeAnswer(conversation: Conversation, end: string): AnswerForm
}

interface ReadTools {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
}

/** Throws OptionError for tools or a choice that are wrong. */
function readTools({ tools: given = [], toolChoice }: Conversation): ReadTools {
  const all = readToolDefinitions(given)
  const choice = readToolChoice(toolChoice, all)
  return { tools: choice === 'none' ? [] : all, choice }
}

export function createChatForm(
  template: ChatTemplate,
  render: ChatRenderer,
  specialTokens: SpecialTokens,
  tokenizer: Pick<Tokenizer, 'tokenId'>,
): ChatForm {
  const format = detectToolCallFormat(template, (token) => tokenizer.tokenId(token) !== undefined)
  const text = getToolTemplate(template)
  const reasons = format.reasoning.some(({ open }) => text.includes(open))
  const support = inspectSupport(render, specialTokens)
  return {
    prepare: (conversation) =>
      prepareToolChat(conversation.messages, readTools(conversation).tools, format, support),
    describeAnswer: (conversation, end) => describeAnswer(format, conversation, end, reasons),
  }
}

/** Any date will do; the same date always gives the same answer. */
const inspectSupport = (render: ChatRenderer, specialTokens: SpecialTokens): TemplateSupport =>
  inspectTemplate((messages, tools) =>
    render(messages, { specialTokens, now: new Date(0), ...(tools && { tools }) }),
  )

function describeAnswer(
  format: ToolCallFormat,
  conversation: Conversation,
  end: string,
  reasons: boolean,
): AnswerForm {
  const { tools, choice } = readTools(conversation)
  const { oneCall = false } = conversation
  const inReasoning = isInsideReasoning(format, end)
  const isDemanded = choice !== 'auto' && choice !== 'none'
  const options = { oneCall, reasons: reasons && !inReasoning }
  const grammar =
    isDemanded || oneCall ? describeToolGrammar(format, tools, choice, options) : undefined
  return {
    keepTokens: format.markers,
    grammar,
    isCertain: grammar !== undefined,
    createParser: () => createToolCallParser(format, { tools, inReasoning }),
  }
}
