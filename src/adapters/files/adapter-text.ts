// Tokenizer and chat template that are in an adapter's folder: read as bytes, written again when it
// is saved, parsed when a prompt needs them. Equal ones of several adapters are kept once.

import { computeSha256, hasSameBytes, toHex } from '../../base/sha256.ts'
import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { type ChatTemplate, findChatTemplate } from '../../formats/text/chat-template.ts'
import {
  completeTokenizerConfig,
  createTokenizer,
  readSpecialTokens,
  type SpecialTokens,
  type Tokenizer,
} from '../../formats/text/tokenizer.ts'
import type { AdapterText } from '../adapter.ts'

const templateFile = 'chat_template.jinja'
const toolTemplateFile = 'additional_chat_templates/tool_use.jinja'
const tokenizerFile = 'tokenizer.json'
const configFile = 'tokenizer_config.json'
const specialTokensFile = 'special_tokens_map.json'

/** Files that are opened by name, because a folder cannot be listed. */
const textFiles = [tokenizerFile, configFile, specialTokensFile, templateFile, toolTemplateFile]

/** Texts by the hash of their files, so that equal ones of many adapters are in memory once. */
const sharedTexts = new Map<string, WeakRef<AdapterText>>()

/** The tokenizer and chat-template files of an adapter's folder; undefined if there are none. */
export async function readAdapterText(folder: ByteFolder): Promise<AdapterText | undefined> {
  const read = await Promise.all(textFiles.map((name) => readBytes(folder, name)))
  const files = new Map(textFiles.flatMap((name, i) => (read[i] ? [[name, read[i]] as const] : [])))
  return files.size === 0 ? undefined : keepTextOnce({ files })
}

async function readBytes(folder: ByteFolder, name: string): Promise<Uint8Array | undefined> {
  const source = await folder.open(name)
  if (!source) return undefined
  try {
    return await source.read(0, source.sizeBytes)
  } finally {
    await source.close?.()
  }
}

async function keepTextOnce(text: AdapterText): Promise<AdapterText> {
  if (globalThis.crypto?.subtle === undefined) return text // a page without Web Crypto
  const hashes = await Promise.all([...text.files.values()].map(computeSha256))
  const key = [...text.files.keys()].map((name, i) => `${name} ${toHex(hashes[i]!)}`).join(' ')
  const known = sharedTexts.get(key)?.deref()
  if (known) return known
  sharedTexts.set(key, new WeakRef(text))
  return text
}

/** Writes the files as they were read. */
export async function writeAdapterText(text: AdapterText, sink: ByteSink): Promise<void> {
  for (const [name, bytes] of text.files) await sink.write(name, [bytes])
}

/** Whether both have the same files, byte for byte. */
export const isSameText = (a: AdapterText | undefined, b: AdapterText | undefined): boolean =>
  a === b ||
  (a?.files.size === b?.files.size &&
    [...(a?.files ?? [])].every(([name, bytes]) => {
      const other = b?.files.get(name)
      return other !== undefined && hasSameBytes(bytes, other)
    }))

/** The parsed files; undefined parts come from the base. */
export interface ParsedText {
  readonly chatTemplate: ChatTemplate | undefined
  readonly tokenizer: Tokenizer | undefined
  /** Where there is a tokenizer_config.json. */
  readonly specialTokens: SpecialTokens | undefined
  /** Tokens whose id differs in another tokenizer. */
  listOtherTokens(base: Tokenizer): (readonly [token: string, id: number])[]
}

/** Throws FormatError that names the file which cannot be read. */
export function parseAdapterText({ files }: AdapterText): ParsedText {
  const given = parseJson(files, configFile)
  const config = completeTokenizerConfig(given ?? {}, parseJson(files, specialTokensFile))
  const json = parseJson(files, tokenizerFile)
  return {
    chatTemplate: parseFile(configFile, () =>
      findChatTemplate(config, {
        jinja: decodeFile(files, templateFile),
        toolUse: decodeFile(files, toolTemplateFile),
      }),
    ),
    tokenizer: json && parseFile(tokenizerFile, () => createTokenizer(json, config)),
    specialTokens: given && readSpecialTokens(config),
    listOtherTokens: (base) =>
      json ? listTokens(json).filter(([token, id]) => base.tokenId(token) !== id) : [],
  }
}

const decodeFile = (files: AdapterText['files'], name: string): string | undefined => {
  const bytes = files.get(name)
  return bytes && new TextDecoder().decode(bytes)
}

function parseJson(files: AdapterText['files'], name: string): object | undefined {
  const text = decodeFile(files, name)
  if (text === undefined) return undefined
  return parseFile(name, () => {
    const value: unknown = JSON.parse(text)
    if (isRecord(value)) return value
    throw new FormatError(`got ${describeValue(value)}, expected a JSON object`)
  })
}

function parseFile<Value>(name: string, parse: () => Value): Value {
  try {
    return parse()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new FormatError(
      `The adapter's own ${name} cannot be read: ${reason.replace(/\.$/, '')}. Without this file the base's is used.`,
      { cause },
    )
  }
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
