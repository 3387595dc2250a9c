// Describes how an adapter's own tokenizer and chat template differ from the base's, because a user
// must be informed that the adapter's are used.

import type { AdapterText } from '../adapters/adapter.ts'
import { parseAdapterText } from '../adapters/files/adapter-text.ts'
import type { BaseModel } from '../graph/base-model.ts'

/** Sentences, such as 'its own chat template is used'; none if they equal the base's. */
export function describeOwnText(
  text: AdapterText | undefined,
  { chatTemplate, tokenizer }: Pick<BaseModel, 'chatTemplate' | 'tokenizer'>,
): string[] {
  if (text === undefined) return []
  let parsed: ReturnType<typeof parseAdapterText>
  try {
    parsed = parseAdapterText(text)
  } catch (error) {
    return [error instanceof Error ? error.message.replace(/\.$/, '') : String(error)]
  }
  const others = tokenizer && parsed.tokenizer ? parsed.listOtherTokens(tokenizer) : []
  const [first] = others
  const are = others.length === 1 ? 'is' : 'are'
  return [
    ...(parsed.chatTemplate !== undefined &&
    JSON.stringify(parsed.chatTemplate) !== JSON.stringify(chatTemplate)
      ? ["its own chat template, which differs from the base's, is used"]
      : []),
    ...(first
      ? [
          `its own tokenizer is used (${parsed.tokenizer!.vocabularySize} tokens, of which ${others.length} ${are} not the base's, such as ${JSON.stringify(first[0])} as token ${first[1]})`,
        ]
      : []),
  ]
}
