// Prompts to token ids: text, a conversation, or ids.

import { NotFoundError } from '../base/errors.ts'
import { readGivenOptions } from '../base/schema.ts'
import {
  chatFields,
  type ChatMessage,
  type ChatOptions,
  renderChat,
} from '../formats/text/chat-template.ts'
import { listSpecialTokens } from '../formats/text/tokenizer.ts'
import type { BaseModel } from '../graph/base-model.ts'

/** Text to continue, a conversation to answer, or token ids. */
export type Prompt = string | readonly ChatMessage[] | readonly number[]

export type PromptEncoder = (prompt: Prompt, chat?: ChatOptions) => number[]

/**
 * Text gets BOS where the tokenizer adds it, messages go through the chat template, ids stay as
 * they are. `date` is what a template prints where the chat options have no `now`.
 */
export function createPromptEncoder(
  { name, tokenizer, chatTemplate }: BaseModel,
  date?: Date,
): PromptEncoder {
  return (prompt, chat = {}) => {
    const given = readGivenOptions('Chat options', chat, chatFields)
    if (typeof prompt !== 'string' && prompt.every((item) => typeof item === 'number'))
      return [...prompt]
    if (!tokenizer)
      throw new NotFoundError(
        `Model "${name}" has no tokenizer (tokenizer.json): give it token ids instead of text.`,
      )
    if (typeof prompt === 'string') return tokenizer.encode(prompt, { addSpecialTokens: true })
    const options = {
      specialTokens: listSpecialTokens(tokenizer),
      addGenerationPrompt: true,
      ...(date && { now: date }),
      ...given,
    }
    return tokenizer.encode(renderChat(chatTemplate, prompt as readonly ChatMessage[], options))
  }
}
