// Examples → token ids with labels' weights, through the tokenizer and the chat template. Over-long
// rows are cut and counted, never lost silently.

import { DataError, GraftError, OptionError } from '../../base/errors.ts'
import { type ChatTemplate, compileChatTemplate } from '../../formats/text/chat-template.ts'
import { listSpecialTokens, type Tokenizer } from '../../formats/text/tokenizer.ts'
import { splitChat } from './chat-spans.ts'
import type { ContrastiveExample, Example, SingleExample } from './data-format.ts'
import { type NumberedExample, readExamples } from './format-table.ts'
import { createDataError, type RawDataset } from './jsonl.ts'
import { countPaths, type DataSummary } from './row-log.ts'
import {
  checkTurnsShown,
  encodeSpans,
  type TextSpan,
  type ScoredTokens,
  unscoreTurnEnds,
} from './spans.ts'
import { countTogether, encodeTexts } from './contrastive/encode-texts.ts'
import { computeAdvantages, readGrade } from './advantages.ts'
import { swapAnswer } from './swap-answer.ts'
import { createArgumentFitter } from '../../formats/text/tool-calls/fit-arguments.ts'

/**
 * Tokens of one sequence. `weights[t]` is the weight of token t as a label: 0 for context, and
 * always 0 for the first token.
 */
export interface EncodedSequence {
  readonly ids: Int32Array // [T]
  readonly weights: Float32Array // [T]
  /** For a rated answer: whether it was rated good. */
  readonly isGood?: boolean
  /** For a graded answer: its reward. */
  readonly reward?: number
  /** For a graded answer: its advantage over the prompt's other answers, in standard deviations. */
  readonly advantage?: number
}

export interface EncodedData {
  readonly name: string
  /** Name of the format the rows were in. */
  readonly format: string
  readonly rows: readonly EncodedSequence[]
  /** Whether rows are pairs: chosen and rejected rows alternate. */
  readonly pairs?: boolean
  /**
   * Whether rows are rated answers. Each is followed by its prompt with the previous example's
   * answer, on which the loss measures how far the adapter moves from the reference.
   */
  readonly judged?: boolean
  /** Whether rows are graded answers. */
  readonly graded?: boolean
  /** For texts to be embedded: how many rows an anchor, its positive and its negatives are. */
  readonly groupSize?: number
  /** Examples that were read. */
  readonly examples: number
  /** Rows cut to maxTokens. */
  readonly cut: number
  /** Rows left out because nothing to learn was left of them within maxTokens. */
  readonly dropped: number
  /** Counts of what is not used. */
  readonly summary?: DataSummary
}

export interface EncodeOptions {
  readonly tokenizer: Tokenizer
  /** Without one, prompts and completions are joined as they are. */
  readonly chatTemplate?: ChatTemplate
  /** A system message for rows without their own. */
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
  const settings = { specialTokens: listSpecialTokens(tokenizer), now, variables }
  const fitArguments = createArgumentFitter((messages) => render(messages, settings))
  return ({
    messages,
    tools,
    learnedFrom = 0,
    unlearned = [],
  }: Extract<SingleExample, { kind: 'chat' }>): ScoredTokens[] => {
    const added =
      system !== undefined && messages[0]?.role !== 'system'
        ? [{ role: 'system', content: system }]
        : []
    const whole = fitArguments([...added, ...messages])
    const rows = splitChat(
      whole,
      (part, addGenerationPrompt) =>
        render(part, { ...settings, addGenerationPrompt, ...(tools ? { tools } : {}) }),
      learnedFrom + added.length,
      unlearned.map((i) => i + added.length),
    )
    return rows.map((pieces) => {
      const tokens = encodeSpans(pieces, tokenizer)
      unscoreTurnEnds(tokens, tokenizer)
      checkTurnsShown(tokens, tokenizer)
      return tokens
    })
  }
}

/** Plain text: the tokenizer's initial tokens, the pieces, and the end of text as a label. */
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
      if (chat) return chat(example)
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
    const opening = system === undefined ? [] : [{ role: 'system', content: system }]
    return chat({ kind: 'chat', messages: [...opening, asked, answered] })
  }
}

/** The row up to its last label, cut to `maxTokens`; undefined if no label is left. */
function cutToLength(
  { ids, scored }: ScoredTokens,
  maxTokens: number,
  weight: number,
): { row: EncodedSequence | undefined; cut: boolean } {
  const length = scored.lastIndexOf(true) + 1 // nothing is learned from tokens after the last label
  const kept = Math.min(length, maxTokens)
  const weights = Float32Array.from(scored.slice(0, kept), (label, t) =>
    label && t > 0 ? weight : 0,
  )
  const row = weights.some((value) => value > 0)
    ? { ids: Int32Array.from(ids.slice(0, kept)), weights }
    : undefined
  return { row, cut: length > maxTokens }
}

/** Two answers of one turn each, a row each. */
function encodeTwo(answers: readonly SingleExample[], encode: EncodeExample): ScoredTokens[] {
  const rows = answers.map(encode)
  if (rows.every(({ length }) => length === 1)) return rows.flat()
  throw new OptionError(
    'The chat template renders earlier turns differently from the last one; give pairs whose answers are one turn each.',
  )
}

/** The rows of one example that is no group of texts; `before` is the example before it. */
function encodeAnswers(
  example: Exclude<Example, ContrastiveExample>,
  before: Example,
  encode: EncodeExample,
): ScoredTokens[] {
  if (example.kind === 'pair') return encodeTwo([example.chosen, example.rejected], encode)
  if (example.kind === 'graded') return encode(example.answer)
  if (example.kind !== 'judged') return encode(example)
  const other = before.kind === 'judged' ? before.answer : example.answer
  return encodeTwo([example.answer, swapAnswer(example.answer, other)], encode)
}

/** The row with the rating of its answer. */
function addVerdict(
  row: EncodedSequence,
  example: Example,
  at: number,
  advantage: number | undefined,
): EncodedSequence {
  if (example.kind === 'judged' && at === 0) return { ...row, isGood: example.isGood }
  if (example.kind === 'graded') return { ...row, reward: example.reward, advantage: advantage! }
  return row
}

interface EncodedRows {
  readonly rows: EncodedSequence[]
  readonly problems: string[]
  cut: number
  dropped: number
}

/** The rows of all examples, counts of cut and dropped ones, and all problems. */
export function encodeExamples(
  examples: readonly NumberedExample[],
  options: EncodeOptions,
  together: number,
): EncodedRows {
  const encode = createExampleEncoder(options)
  const graded = computeAdvantages(examples.map(({ example }) => readGrade(example)))
  const found: EncodedRows = { rows: [], problems: [], cut: 0, dropped: 0 }
  for (const [i, { number, example, weight }] of examples.entries()) {
    if (weight === 0) {
      found.dropped += together
      continue
    }
    try {
      const made =
        example.kind === 'contrastive'
          ? encodeTexts(example, options, together)
          : encodeAnswers(example, examples.at(i - 1)!.example, encode)
      const fits = made.map((tokens) => cutToLength(tokens, options.maxTokens, weight))
      // of rows that belong together, all are kept or none
      const kept = fits.filter((_, at) => {
        const start = at - (at % together)
        return fits.slice(start, start + together).every(({ row }) => row)
      })
      found.rows.push(...kept.map(({ row }, at) => addVerdict(row!, example, at, graded[i])))
      found.dropped += fits.length - kept.length
      found.cut += kept.filter((fit) => fit.cut).length
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      found.problems.push(`row ${number}: ${error.message}`)
    }
  }
  return found
}

/** The keys that the chat template does not name are left out too. */
export function summarizePassed(
  summary: DataSummary,
  examples: readonly NumberedExample[],
  chatTemplate: ChatTemplate = '',
): DataSummary {
  const text =
    typeof chatTemplate === 'string' ? chatTemplate : Object.values(chatTemplate).join('\n')
  const isRead = (path: string): boolean => text.includes(path.split('.').at(-1)!)
  const unread = countPaths(examples.map(({ passed }) => passed.filter((path) => !isRead(path))))
  return {
    leftOut: Object.fromEntries([...Object.entries(summary.leftOut), ...Object.entries(unread)]),
    readOnlyTurns: summary.readOnlyTurns,
    brokenText: summary.brokenText,
  }
}

/**
 * Rows of any known format as tokens with labels. Throws DataError that names every row the
 * template refuses, and one where no row has anything to learn within `maxTokens`.
 */
export function encodeData(data: RawDataset, options: EncodeOptions): EncodedData {
  const { format, examples, summary } = readExamples(data)
  const kinds = new Set(examples.map(({ example }) => example.kind))
  const together = countTogether(examples)
  const found = encodeExamples(examples, options, together)
  const { rows, problems, cut, dropped } = found
  if (problems.length > 0) throw createDataError(data.name, 'rows cannot be encoded', problems)
  if (rows.length === 0)
    throw new DataError(
      `${data.name}: none of ${examples.length} rows has anything to learn within ${options.maxTokens} tokens; raise maxTokens.`,
    )
  return {
    name: data.name,
    format: format.name,
    rows,
    ...(kinds.has('pair') && { pairs: true }),
    ...(kinds.has('judged') && { judged: true }),
    ...(kinds.has('graded') && { graded: true }),
    ...(kinds.has('contrastive') && { groupSize: together }),
    examples: examples.length,
    cut,
    dropped,
    summary: summarizePassed(summary, examples, options.chatTemplate),
  }
}
