// Examples → token ids with labels' weights, through the tokenizer and the chat template. Over-long
// rows are cut and counted, never lost silently.

import { DataError, GraftError, OptionError } from '../../base/errors.ts'
import { type ChatMessage, compileChatTemplate } from '../../formats/text/chat-template.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { splitChat } from './chat-spans.ts'
import type { PairExample, SingleExample } from './data-format.ts'
import { readExamples } from './format-table.ts'
import { createDataError, type RawDataset } from './jsonl.ts'
import { encodeSpans, type TextSpan, type ScoredTokens, unscoreTurnEnds } from './spans.ts'

/**
 * Tokens of one sequence. `weights[t]` is the weight of token t as a label: 0 where it is only
 * read; always 0 at the first.
 */
export interface EncodedSequence {
  readonly ids: Int32Array // [T]
  readonly weights: Float32Array // [T]
}

export interface EncodedData {
  readonly name: string
  /** Name of the format the rows were in. */
  readonly format: string
  readonly rows: readonly EncodedSequence[]
  /** Whether rows are pairs: chosen and rejected take turns. */
  readonly pairs?: boolean
  /** Examples that were read. */
  readonly examples: number
  /** Rows cut to maxTokens. */
  readonly cut: number
  /** Rows left out because nothing to learn was left of them within maxTokens. */
  readonly dropped: number
}

export interface EncodeOptions {
  readonly tokenizer: Tokenizer
  /** Without one, prompts and completions are joined as they are. */
  readonly chatTemplate?: string
  /** A system message for rows that have none of their own. */
  readonly system?: string
  readonly maxTokens: number
  /** For templates that print the date. */
  readonly now?: Date
  /** Further variables for the template. */
  readonly variables?: Readonly<Record<string, unknown>>
}

type EncodeExample = (example: SingleExample) => ScoredTokens[]

function createChatEncoder({ tokenizer, chatTemplate, system, now, variables }: EncodeOptions) {
  const render = compileChatTemplate(chatTemplate)
  const textOf = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : tokenizer.decode([id])
  const bosToken = textOf(tokenizer.bosId)
  const eosToken = textOf(tokenizer.eosId)
  const given = {
    ...(bosToken === undefined ? {} : { bosToken }),
    ...(eosToken === undefined ? {} : { eosToken }),
  }
  const settings = { ...given, ...(now ? { now } : {}), ...(variables ? { variables } : {}) }
  return (
    messages: readonly ChatMessage[],
    tools?: readonly object[],
    learnedFrom = 0,
  ): ScoredTokens[] => {
    const added =
      system !== undefined && messages[0]?.role !== 'system'
        ? [{ role: 'system', content: system }]
        : []
    const whole = [...added, ...messages]
    const rows = splitChat(
      whole,
      (part, addGenerationPrompt) =>
        render(part, { ...settings, addGenerationPrompt, ...(tools ? { tools } : {}) }),
      learnedFrom + added.length,
    )
    return rows.map((pieces) => {
      const tokens = encodeSpans(pieces, tokenizer)
      unscoreTurnEnds(tokens, tokenizer)
      return tokens
    })
  }
}

/** Plain text: the tokenizer's own beginning of a text, the pieces, the end of text as a label. */
function createPlainEncoder({ tokenizer }: EncodeOptions) {
  const { bosId, eosId } = tokenizer
  const opens =
    bosId !== undefined && tokenizer.encode('a', { addSpecialTokens: true })[0] === bosId
  return (pieces: readonly TextSpan[]): ScoredTokens[] => {
    const { ids, scored } = encodeSpans(pieces, tokenizer)
    return [
      {
        ids: [...(opens ? [bosId] : []), ...ids, ...(eosId === undefined ? [] : [eosId])],
        scored: [...(opens ? [false] : []), ...scored, ...(eosId === undefined ? [] : [true])],
      },
    ]
  }
}

/**
 * Turns examples into tokens with labels marked; one example may give several rows. Throws
 * OptionError for a chat without a template.
 */
export function createExampleEncoder(options: EncodeOptions): EncodeExample {
  const chat = options.chatTemplate === undefined ? undefined : createChatEncoder(options)
  const plain = createPlainEncoder(options)
  return (example) => {
    if (example.kind === 'text') return plain([{ text: example.text, scored: true }])
    if (example.kind === 'chat') {
      if (chat) return chat(example.messages, example.tools, example.learnedFrom)
      throw new OptionError(
        'The model has no chat template, so it cannot learn from chats. Give prompt and completion instead.',
      )
    }
    const { prompt, plainPrompt = prompt, completion, system } = example
    if (!chat) {
      const opening = [system ?? options.system, plainPrompt]
        .filter((part) => part !== undefined && part !== '')
        .join('\n\n')
      return plain([
        { text: opening, scored: false },
        { text: completion, scored: true },
      ])
    }
    const asked = { role: 'user', content: prompt }
    const answered = { role: 'assistant', content: completion }
    return chat(
      system === undefined
        ? [asked, answered]
        : [{ role: 'system', content: system }, asked, answered],
    )
  }
}

/** The row up to its last label, cut to `maxTokens`; undefined where no label is left. */
function cutToLength(
  { ids, scored }: ScoredTokens,
  maxTokens: number,
  weight: number,
): { row: EncodedSequence | undefined; cut: boolean } {
  const length = scored.lastIndexOf(true) + 1 // tokens behind the last label teach nothing
  const kept = Math.min(length, maxTokens)
  const weights = Float32Array.from(scored.slice(0, kept), (label, t) =>
    label && t > 0 ? weight : 0,
  )
  const row = weights.some((value) => value > 0)
    ? { ids: Int32Array.from(ids.slice(0, kept)), weights }
    : undefined
  return { row, cut: length > maxTokens }
}

/** The chosen and the rejected answer, a row each. */
function encodePair({ chosen, rejected }: PairExample, encode: EncodeExample): ScoredTokens[] {
  const rows = [chosen, rejected].map(encode)
  if (rows.every(({ length }) => length === 1)) return rows.flat()
  throw new OptionError(
    'The chat template shows earlier turns otherwise than the last one; give pairs whose answers are one turn each.',
  )
}

/**
 * Rows of any known format as tokens with labels. Throws DataError that names every row the
 * template refuses, and one where no row has anything to learn within `maxTokens`.
 */
export function encodeData(data: RawDataset, options: EncodeOptions): EncodedData {
  const { format, examples } = readExamples(data)
  const encode = createExampleEncoder(options)
  const rows: EncodedSequence[] = []
  const problems: string[] = []
  const pairs = examples.some(({ example }) => example.kind === 'pair')
  let cut = 0
  let dropped = 0
  for (const { number, example, weight } of examples) {
    try {
      const made = example.kind === 'pair' ? encodePair(example, encode) : encode(example)
      const fits = made.map((tokens) => cutToLength(tokens, options.maxTokens, weight))
      // of a pair both or none
      const kept = fits.filter(({ row }, i) => row && (!pairs || fits[i ^ 1]?.row))
      rows.push(...kept.map(({ row }) => row!))
      dropped += fits.length - kept.length
      cut += kept.filter((fit) => fit.cut).length
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      problems.push(`row ${number}: ${error.message}`)
    }
  }
  if (problems.length > 0) throw createDataError(data.name, 'rows cannot be encoded', problems)
  if (rows.length === 0)
    throw new DataError(
      `${data.name}: none of ${examples.length} rows has anything to learn within ${options.maxTokens} tokens; raise maxTokens.`,
    )
  return {
    name: data.name,
    format: format.name,
    rows,
    ...(pairs && { pairs }),
    examples: examples.length,
    cut,
    dropped,
  }
}
