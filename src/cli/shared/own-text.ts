// Tokenizer and chat template that an adapter's folder holds: trainers lay copies of the base's
// there, and where they differ from the base's, a user must hear that they are not used.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRecord } from '../../base/schema.ts'
import type { BaseModel } from '../../graph/base-model.ts'

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

/** What of an adapter's folder differs from the base in how it reads text, and is not used. */
export async function findUnusedText(
  folder: string,
  { chatTemplate, tokenizer }: Pick<BaseModel, 'chatTemplate' | 'tokenizer'>,
): Promise<string[]> {
  const { findChatTemplate } = await import('../../formats/text/chat-template.ts')
  const { createTokenizer } = await import('../../formats/text/tokenizer.ts')
  try {
    const config = (await readObject(folder, 'tokenizer_config.json')) ?? {}
    const own = findChatTemplate(config, {
      jinja: await readText(folder, 'chat_template.jinja'),
      toolUse: await readText(folder, 'additional_chat_templates/tool_use.jinja'),
    })
    const json = await readObject(folder, 'tokenizer.json')
    const size = json && createTokenizer(json, config).vocabularySize
    return [
      ...(own !== undefined && JSON.stringify(own) !== JSON.stringify(chatTemplate)
        ? ["its own chat template, which differs from the base's"]
        : []),
      ...(size !== undefined && tokenizer && size !== tokenizer.vocabularySize
        ? [`its own tokenizer (${size} tokens; the base's has ${tokenizer.vocabularySize})`]
        : []),
    ]
  } catch (error) {
    return [
      `its own tokenizer or chat template, which cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    ]
  }
}
