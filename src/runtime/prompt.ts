// Prompts to token ids: text, a conversation, or ids.

import type { Expert } from '../adapters/index.ts'
import { NotFoundError } from '../base/errors.ts'
import { readGivenOptions } from '../base/schema.ts'
import {
  chatFields,
  type ChatMessage,
  type ChatOptions,
  renderChat,
} from '../formats/text/chat-template.ts'
import {
  checkTokensKnown,
  findTaughtDate,
  getExpertText,
  type TextBase,
} from '../adapters/files/expert-text.ts'

/** Text to continue, a conversation to answer, or token ids. */
export type Prompt = string | readonly ChatMessage[] | readonly number[]

export type PromptEncoder = (prompt: Prompt, chat?: ChatOptions, expert?: Expert) => number[]

/** Dates for chat templates if the chat options have no `now`. */
export interface PromptDates {
  /** Takes precedence over the expert's date. */
  readonly date?: Date | undefined
  /** Used if the expert has no date either. */
  readonly today?: Date | undefined
}

/**
 * Text gets BOS where the tokenizer adds it, messages go through the chat template, ids are used
 * unchanged. Tokenizer, template and date are the expert's where it has its own.
 */
export function createPromptEncoder(
  base: TextBase,
  { date, today }: PromptDates = {},
): PromptEncoder {
  return (prompt, chat = {}, expert) => {
    const given = readGivenOptions('Chat options', chat, chatFields)
    if (typeof prompt !== 'string' && prompt.every((item) => typeof item === 'number'))
      return [...prompt]
    const { tokenizer, chatTemplate, specialTokens } = getExpertText(base, expert)
    if (!tokenizer)
      throw new NotFoundError(
        `Model "${base.name}" has no tokenizer (tokenizer.json): give it token ids instead of text.`,
      )
    const now = date ?? findTaughtDate(expert) ?? today
    const options = { specialTokens, addGenerationPrompt: true, ...(now && { now }), ...given }
    const ids =
      typeof prompt === 'string'
        ? tokenizer.encode(prompt, { addSpecialTokens: true })
        : tokenizer.encode(renderChat(chatTemplate, prompt as readonly ChatMessage[], options))
    checkTokensKnown(ids, base, expert)
    return ids
  }
}
