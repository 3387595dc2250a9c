// Reports what is learned from a data set: its format, the learned part of each row, and what is
// left out and why. Independent of presentation.

import { GraftError } from '../../base/errors.ts'
import type { ContrastiveExample, Example, SingleExample } from '../data/data-format.ts'
import { countTogether } from '../data/contrastive/encode-texts.ts'
import {
  createExampleEncoder,
  encodeExamples,
  type EncodeOptions,
  summarizePassed,
} from '../data/encode.ts'
import { type DataReading, type NumberedExample, readRows } from '../data/format-table.ts'
import type { RawDataset } from '../data/jsonl.ts'
import { countPaths } from '../data/row-log.ts'

/** A problem and the rows that have it. */
export interface RowProblem {
  readonly problem: string
  readonly rows: readonly number[]
}

/** A piece of a row's text. */
export interface SampleSpan {
  readonly text: string
  readonly learned: boolean
}

/** The text of one row, cut between learned parts and context. */
export interface RowSample {
  readonly row: number
  /** Which answer ('chosen', 'rejected', 'good', 'bad') or which text of a group ('anchor'). */
  readonly answer?: string
  readonly spans: readonly SampleSpan[]
}

export interface TokenCounts {
  readonly model: string
  readonly maxTokens: number
  /** Sequences that are trained on; a row may give several. */
  readonly sequences: number
  readonly total: number
  readonly learned: number
  readonly longest: number
  /** Sequences cut to `maxTokens`. */
  readonly cut: number
  /** Sequences left out because nothing to learn is within `maxTokens`. */
  readonly dropped: number
}

export interface DataCheck {
  readonly file: string
  readonly format: string
  /** How a row of the format looks. */
  readonly syntax: string
  readonly rows: number
  /** Rows that count in training. */
  readonly learnedRows: number
  /** Rows that are left out because their weight is 0. */
  readonly weightlessRows: number
  readonly refusedRows: number
  readonly problems: readonly RowProblem[]
  /** By the path of a key that is not used, how many rows have it. */
  readonly leftOut: Readonly<Record<string, number>>
  /**
   * By the path of a key that only a chat template may use, how many rows have it; empty if the
   * model is known.
   */
  readonly templateKeys: Readonly<Record<string, number>>
  /** Assistant turns that are only read because their weight is 0. */
  readonly readOnlyTurns: number
  /** Rows with an unpaired surrogate, which is read as U+FFFD. */
  readonly brokenText: number
  /** Undefined if no model was given. */
  readonly tokens: TokenCounts | undefined
  readonly samples: readonly RowSample[]
}

export interface CheckOptions {
  /** How many rows are shown. */
  readonly samples: number
  /** Where it is given, tokens are counted and texts go through the model's chat template. */
  readonly encoding?: EncodeOptions & { readonly model: string }
}

/** Problems with the rows that have each, in the order in which they occur first. */
function groupProblems(problems: readonly (readonly [number, string])[]): RowProblem[] {
  const rows = new Map<string, number[]>()
  for (const [row, problem] of problems) {
    const found = rows.get(problem)
    if (!found) rows.set(problem, [row])
    else if (found.at(-1) !== row) found.push(row)
  }
  return [...rows].map(([problem, numbers]) => ({ problem, rows: numbers }))
}

const listTexts = ({ anchor, positives, negatives }: ContrastiveExample) => [
  ['anchor', anchor] as const,
  ...positives.map((text) => ['positive', text] as const),
  ...negatives.map((text) => ['negative', text] as const),
]

/** The answers of an example, each with its name. */
function listAnswers(example: Example): (readonly [string | undefined, SingleExample])[] {
  if (example.kind === 'contrastive')
    return listTexts(example).map(([name, text]) => [name, { kind: 'text', text }])
  if (example.kind === 'pair')
    return [
      ['chosen', example.chosen],
      ['rejected', example.rejected],
    ]
  if (example.kind === 'graded') return [[`reward ${example.reward}`, example.answer]]
  if (example.kind === 'judged') return [[example.isGood ? 'good' : 'bad', example.answer]]
  return [[undefined, example]]
}

/** The learned parts of an example if no model is given: no template, no special tokens. */
function splitPlainly(example: SingleExample): SampleSpan[] {
  if (example.kind === 'text') return [{ text: example.text, learned: true }]
  if (example.kind === 'completion') {
    const system = example.system === undefined ? '' : `system: ${example.system}\n`
    return [
      { text: `${system}${example.prompt}`, learned: false },
      { text: example.completion, learned: true },
    ]
  }
  const { messages, learnedFrom = 0, unlearned = [] } = example
  return messages.flatMap(({ role, content, tool_calls: calls, reasoning_content: thought }, i) => {
    const parts = [thought, content, calls === undefined ? undefined : JSON.stringify(calls)]
    const text = parts.filter((part) => typeof part === 'string' && part !== '').join('\n')
    const learned = role === 'assistant' && i >= learnedFrom && !unlearned.includes(i)
    return [
      { text: `${i > 0 ? '\n' : ''}${role}: `, learned: false },
      { text, learned },
    ]
  })
}

/** The sequences of an example as texts, cut between learned tokens and context. */
function splitByTokens(example: SingleExample, encoding: EncodeOptions): SampleSpan[][] {
  const { tokenizer } = encoding
  return createExampleEncoder(encoding)(example).map(({ ids, scored }) => {
    const spans: SampleSpan[] = []
    let done = ''
    for (const [token, isLearned] of scored.entries()) {
      if (token + 1 < ids.length && scored[token + 1] === isLearned) continue
      // a token's text may depend on the tokens before it
      const text = tokenizer.decode(ids.slice(0, token + 1))
      spans.push({ text: text.slice(done.length), learned: isLearned })
      done = text
    }
    return spans
  })
}

function collectSamples(
  examples: readonly NumberedExample[],
  { samples, encoding }: CheckOptions,
): RowSample[] {
  const found: RowSample[] = []
  let shown = 0
  for (const { number, example, weight } of examples) {
    if (shown >= samples) break
    if (weight === 0) continue
    try {
      const made = listAnswers(example).flatMap(([answer, single]) => {
        const sequences = encoding ? splitByTokens(single, encoding) : [splitPlainly(single)]
        const named = answer === undefined ? {} : { answer }
        return sequences.map((spans) => Object.assign({ row: number, spans }, named))
      })
      found.push(...made)
      shown++
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error // already among the problems
    }
  }
  return found
}

interface Encoded {
  readonly tokens: TokenCounts
  readonly problems: (readonly [number, string])[]
}

/** Counts tokens as training would, and collects what the chat template refuses. */
function countTokens(
  examples: readonly NumberedExample[],
  encoding: NonNullable<CheckOptions['encoding']>,
): Encoded {
  const together = countTogether(examples)
  const { rows, problems, cut, dropped } = encodeExamples(examples, encoding, together)
  const weightless = examples.filter(({ weight }) => weight === 0).length
  const tokens = {
    model: encoding.model,
    maxTokens: encoding.maxTokens,
    sequences: rows.length,
    total: rows.reduce((sum, { ids }) => sum + ids.length, 0),
    learned: rows.reduce((sum, row) => sum + row.weights.filter((weight) => weight > 0).length, 0),
    longest: rows.reduce((most, { ids }) => Math.max(most, ids.length), 0),
    cut,
    dropped: dropped - weightless * together,
  }
  const split = problems.map((problem) => {
    const [, number, text] = /^row (\d+): ([^]*)$/.exec(problem)!
    return [Number(number), text!] as const
  })
  return { tokens, problems: split }
}

const listExamples = ({ rows }: DataReading): NumberedExample[] =>
  rows.flatMap(({ number, example, weight, passed }) =>
    example ? [{ number, example, weight, passed }] : [],
  )

/** The first rows that count, as they are learned. Throws DataError for rows of no known format. */
export const sampleRows = (data: RawDataset, options: CheckOptions): RowSample[] =>
  collectSamples(listExamples(readRows(data)), options)

/**
 * Checks a data set. Rows that do not fit are counted with their problems. Throws DataError if the
 * first row is of no known format.
 */
export function checkData(data: RawDataset, options: CheckOptions): DataCheck {
  const { encoding } = options
  const reading = readRows(data)
  const examples = listExamples(reading)
  const encoded = encoding && countTokens(examples, encoding)
  const summary = encoding
    ? summarizePassed(reading.summary, examples, encoding.chatTemplate)
    : reading.summary
  const problems = [
    ...reading.rows.flatMap((row) => row.problems.map((one) => [row.number, one] as const)),
    ...(encoded?.problems ?? []),
  ]
  const refused = new Set(problems.map(([row]) => row))
  const sound = examples.filter(({ number }) => !refused.has(number))
  const weightless = sound.filter(({ weight }) => weight === 0).length
  return {
    file: data.name,
    format: reading.format.name,
    syntax: reading.format.syntax,
    rows: data.rows.length,
    learnedRows: sound.length - weightless,
    weightlessRows: weightless,
    refusedRows: refused.size,
    problems: groupProblems(problems),
    leftOut: summary.leftOut,
    templateKeys: encoding ? {} : countPaths(examples.map(({ passed }) => passed)),
    readOnlyTurns: summary.readOnlyTurns,
    brokenText: summary.brokenText,
    tokens: encoded?.tokens,
    samples: collectSamples(sound, options),
  }
}
