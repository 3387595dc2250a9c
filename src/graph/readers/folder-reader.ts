// A base model in the Hugging Face layout: config.json, safetensors, tokenizer and chat template as
// files of one folder.

import { isRecord } from '../../base/schema.ts'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { openSharded } from '../../formats/safetensors/sharded.ts'
import { findChatTemplate } from '../../formats/text/chat-template.ts'
import { completeTokenizerConfig, createTokenizer } from '../../formats/text/tokenizer.ts'
import { getArchitecture } from '../models/architecture-table.ts'
import type { JsonObject } from '../models/read-config.ts'
import { findTextConfig, selectTextTensors } from './text-part.ts'
import type { BaseModelReader } from './base-model-reader.ts'

export const folderReader: BaseModelReader<ByteFolder> = {
  async read(folder) {
    const found = await readJson(folder, 'config.json')
    if (!found)
      throw new NotFoundError(`${folder.name}: contains no model: there is no config.json.`)
    const text = findTextConfig(found)
    const config = text ?? found
    const tokenizerJson = await readJson(folder, 'tokenizer.json')
    const generation = await readJson(folder, 'generation_config.json')
    const tokenizerConfig = completeTokenizerConfig(
      (await readJson(folder, 'tokenizer_config.json')) ?? {},
      await readJson(folder, 'special_tokens_map.json'),
    )
    const chatTemplate = findChatTemplate(tokenizerConfig, {
      jinja: await readText(folder, 'chat_template.jinja'),
      toolUse: await readText(folder, 'additional_chat_templates/tool_use.jinja'),
    })
    // Before the weights, because an unknown architecture is the more useful error.
    getArchitecture(config)
    const tokenizer = tokenizerJson && createTokenizer(tokenizerJson, tokenizerConfig)
    // Last, because only the weights stay open.
    const store = await openSharded(folder)
    const weights = text ? selectTextTensors(store) : store
    return { config, weights, tokenizer, chatTemplate, generation }
  },
}

async function readText(folder: ByteFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path)
  if (!source) return undefined
  try {
    return new TextDecoder('utf-8').decode(await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

async function readJson(folder: ByteFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FormatError(`${folder.name}: ${path} is not JSON.`, { cause })
  }
  if (isRecord(value)) return value
  throw new FormatError(`${folder.name}: ${path} contains no JSON object.`)
}
