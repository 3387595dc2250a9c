// Tokenizer and chat template that an adapter's folder holds: trainers lay copies of the base's
// there, and where they differ from the base's, a user must hear that they are not used.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRecord } from '../base/schema.ts'
import type { createTokenizer, Tokenizer } from '../formats/text/tokenizer.ts'
import type { BaseModel } from '../graph/base-model.ts'

const readText = async (folder: string, name: string): Promise<string | undefined> => {
  try {
    return await readFile(join(folder, name), 'utf8')
  } catch {
    return undefined // a folder rarely holds them all
  }
}

const readObject = async (folder: string, name: string): Promise<object | undefined> => {
  const text = await readText(folder, name)
  if (text === undefined) return undefined
  const value: unknown = JSON.parse(text)
  return isRecord(value) ? value : undefined
}

/** Every token of a tokenizer.json with its id. */
function listTokens(json: object): (readonly [token: string, id: number])[] {
  const { model, added_tokens: added } = json as {
    readonly model: { readonly vocab?: unknown }
    readonly added_tokens?: readonly { readonly content: string; readonly id: number }[] | null
  }
  const { vocab } = model
  const own = Array.isArray(vocab)
    ? vocab.map(([token]: [string], id) => [token, id] as const)
    : Object.entries(isRecord(vocab) ? (vocab as Readonly<Record<string, number>>) : {})
  return [...new Map([...own, ...(added ?? []).map(({ content, id }) => [content, id] as const)])]
}

/** How a tokenizer differs from the base's in its tokens; nothing where all are the same. */
function describeTokenizer(
  json: object,
  config: object,
  base: Tokenizer,
  open: typeof createTokenizer,
): string[] {
  const size = open(json, config).vocabularySize
  if (size !== base.vocabularySize)
    return [`its own tokenizer (${size} tokens; the base's has ${base.vocabularySize})`]
  const others = listTokens(json).filter(([token, id]) => base.tokenId(token) !== id)
  const [first] = others
  if (!first) return []
  const are = others.length === 1 ? 'is' : 'are'
  return [
    `its own tokenizer (${size} tokens, of which ${others.length} ${are} not the base's, such as ${JSON.stringify(first[0])} as token ${first[1]})`,
  ]
}

/** What of an adapter's folder differs from the base in how it reads text, and is not used. */
export async function findUnusedText(
  folder: string,
  { chatTemplate, tokenizer }: Pick<BaseModel, 'chatTemplate' | 'tokenizer'>,
): Promise<string[]> {
  const { findChatTemplate } = await import('../formats/text/chat-template.ts')
  const { createTokenizer } = await import('../formats/text/tokenizer.ts')
  try {
    const config = (await readObject(folder, 'tokenizer_config.json')) ?? {}
    const own = findChatTemplate(config, {
      jinja: await readText(folder, 'chat_template.jinja'),
      toolUse: await readText(folder, 'additional_chat_templates/tool_use.jinja'),
    })
    const json = await readObject(folder, 'tokenizer.json')
    return [
      ...(own !== undefined && JSON.stringify(own) !== JSON.stringify(chatTemplate)
        ? ["its own chat template, which differs from the base's"]
        : []),
      ...(json && tokenizer ? describeTokenizer(json, config, tokenizer, createTokenizer) : []),
    ]
  } catch (error) {
    return [
      `its own tokenizer or chat template, which cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    ]
  }
}
