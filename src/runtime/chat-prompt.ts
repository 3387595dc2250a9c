// Builds a prompt: a conversation where the model has a chat template, otherwise plain text to
// continue.

import type { Expert } from '../adapters/index.ts'
import type { ChatMessage } from '../formats/text/chat-template.ts'
import { getExpertText } from '../adapters/files/expert-text.ts'
import type { Model } from './model.ts'
import type { Prompt } from './prompt.ts'

/**
 * Messages with the system message in front; where neither the expert nor the model has a template, the system text and the
 * prompt, as training joins them.
 */
export function composePrompt(
  model: Pick<Model, 'base'>,
  text: string,
  system: string | undefined,
  earlier: readonly ChatMessage[] = [],
  expert?: Expert,
): Prompt {
  const asked = { role: 'user', content: text }
  if (getExpertText(model.base, expert).chatTemplate !== undefined)
    return [
      ...(system === undefined ? [] : [{ role: 'system', content: system }]),
      ...earlier,
      asked,
    ]
  const before = earlier.map(({ content }) => String(content))
  return [...(system === undefined ? [] : [system]), ...before, text].join(
    earlier.length > 0 ? '\n' : '\n\n',
  )
}
