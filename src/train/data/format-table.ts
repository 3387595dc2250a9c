// The table of data formats, and which of them a data set is in. A new format is a file and a row
// here.

import { joinProblems } from '../../base/schema.ts'
import { DataError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { contrastive } from './contrastive/contrastive.ts'
import type { DataFormat, Example, DataRecord } from './data-format.ts'
import { instruction } from './instruction.ts'
import { createDataError, type RawDataset } from './jsonl.ts'
import { messages, sharegpt } from './messages.ts'
import { preference } from './preference.ts'
import { graded, judged, promptCompletion } from './prompt-completion.ts'
import { checkRowKeys, readWeight } from './row-keys.ts'
import {
  countPaths,
  createRowLog,
  type DataSummary,
  deepestRow,
  hasBrokenText,
  isDeeperThan,
} from './row-log.ts'
import { text } from './text.ts'

export const dataFormats: ReadonlyMap<string, DataFormat> = new Map(
  [
    preference,
    contrastive,
    messages,
    sharegpt,
    judged,
    graded,
    promptCompletion,
    instruction,
    text,
  ].map((format) => [format.name, format]),
)

const describeKeys = (row: DataRecord): string => Object.keys(row).join(', ') || 'none'

/** The most frequent formats, which errors show in full. */
const usualFormats = [messages, promptCompletion, instruction, text]

function describeFormats(): string {
  const others = [...dataFormats.values()].filter((format) => !usualFormats.includes(format))
  return [
    ...usualFormats.map(({ name, syntax }) => `  ${name}: ${syntax}`),
    `  also ${others.map(({ name }) => name).join(', ')}, shown in docs/data.md`,
  ].join('\n')
}

/** Names that other tools give to the two texts of a pair. */
const otherNames: readonly (readonly [name: string, others: readonly string[]])[] = [
  ['prompt', ['input', 'question', 'query', 'user', 'instruction', 'problem', 'source']],
  [
    'completion',
    ['output', 'answer', 'response', 'assistant', 'solution', 'target', 'label', 'category'],
  ],
]

/** The key of this format that another one was probably meant to be. */
function findMeantKey(key: string, row: DataRecord, format: DataFormat): string | undefined {
  const free = [...format.keys].filter((name) => !(name in row))
  const [synonym] = otherNames.find(([, others]) => others.includes(key.toLowerCase())) ?? []
  return format === promptCompletion && synonym !== undefined && free.includes(synonym)
    ? synonym
    : findNearestName(key, free)
}

/** The names that the row's keys were probably meant to have; '' if no format is similar. */
function describeMeantKeys(row: DataRecord, formats: readonly DataFormat[]): string {
  for (const format of formats) {
    const meant = Object.keys(row).flatMap((key) => {
      const name = format.keys.has(key) ? undefined : findMeantKey(key, row, format)
      return name === undefined ? [] : [[key, name] as const]
    })
    const names = new Map(meant)
    const renamed = Object.entries(row).map(([key, value]) => [names.get(key) ?? key, value])
    if (meant.length === 0 || !format.matches(Object.fromEntries(renamed))) continue
    return ` Did you mean ${meant.map(([key, name]) => `${name} in place of ${key}`).join(', and ')}?`
  }
  return ''
}

const findFormat = (row: DataRecord): DataFormat | undefined =>
  [...dataFormats.values()].find(({ matches }) => matches(row))

/**
 * The format of a data set by its first row. Throws DataError that names the row's keys and the
 * formats there are.
 */
export function detectFormat(data: RawDataset): DataFormat {
  const format = getFormat(data)
  const log = createRowLog()
  const { number, value } = data.rows[0]!
  if (format.describing) checkRowKeys(value, format, log)
  if (log.problems.length === 0) return format
  throw new DataError(`${data.name}: row ${number}: ${joinProblems(log.problems)}`)
}

function getFormat({ name, rows }: RawDataset): DataFormat {
  const first = rows[0]
  if (!first) throw new DataError(`${name}: contains no rows.`)
  const format = findFormat(first.value)
  if (format) return format
  throw new DataError(
    `${name}: row ${first.number} is of no known format; its keys are ${describeKeys(first.value)}.${describeMeantKeys(first.value, [...usualFormats, ...dataFormats.values()])} Rows may be:\n${describeFormats()}`,
  )
}

export interface NumberedExample {
  /** The row's number in its file. */
  readonly number: number
  readonly example: Example
  /** How much the row counts. */
  readonly weight: number
  /** Paths of keys that only the model's chat template can read: 'messages[].name'. */
  readonly passed: readonly string[]
}

/** The result of reading one row: an example or problems, and what is not used. */
export interface RowReading {
  readonly number: number
  readonly example: Example | undefined
  readonly weight: number
  readonly problems: readonly string[]
  readonly leftOut: readonly string[]
  readonly passed: readonly string[]
  readonly readOnlyTurns: number
  readonly brokenText: boolean
}

/** The result of reading every row of a data set. */
export interface DataReading {
  readonly name: string
  readonly format: DataFormat
  readonly rows: readonly RowReading[]
  readonly summary: DataSummary
}

/** Whether no turn of a chat is learned because the weight of each is 0. The row then weighs 0. */
function isOnlyRead(example: Example): boolean {
  if (example.kind !== 'chat') return false
  const { learnedFrom = 0, unlearned = [] } = example
  return example.messages.every(
    ({ role }, i) => role !== 'assistant' || i < learnedFrom || unlearned.includes(i),
  )
}

/** The example with every turn learned. */
function withAllTurns(example: Example): Example {
  if (example.kind !== 'chat') return example
  const { unlearned: _, ...others } = example
  return others
}

/** Describes the keys of a row that are not of the first row's format. */
function describeOtherKeys(row: DataRecord, format: DataFormat): string {
  const meant = findFormat(row) ? '' : describeMeantKeys(row, [format])
  return `its keys are ${describeKeys(row)}${meant && `.${meant}`}`
}

/** The result for a row that is refused without reading its values. */
const refuseRow = (number: number, problem: string): RowReading => ({
  number,
  example: undefined,
  weight: 0,
  problems: [problem],
  leftOut: [],
  passed: [],
  readOnlyTurns: 0,
  brokenText: false,
})

function readRow(
  { number, value, weight: given }: RawDataset['rows'][number],
  format: DataFormat,
): RowReading {
  if (isDeeperThan(value, deepestRow))
    return refuseRow(number, `is nested more than ${deepestRow} levels deep`)
  const weight = given ?? readWeight(value)
  const log = createRowLog()
  const isFormat = findFormat(value) === format
  if (isFormat) checkRowKeys(value, format, log)
  const example = isFormat
    ? format.read(value, log)
    : (format.findMismatch?.(value) ?? describeOtherKeys(value, format))
  if (typeof example === 'string') log.problems.unshift(example)
  if (typeof weight === 'string') log.problems.push(weight)
  const isSound = log.problems.length === 0 && typeof example !== 'string'
  const isIdle = isSound && isOnlyRead(example)
  return {
    number,
    example: isSound ? (isIdle ? withAllTurns(example) : example) : undefined,
    weight: isIdle || typeof weight === 'string' ? 0 : weight,
    problems: log.problems,
    leftOut: [...log.leftOut],
    passed: [...log.passed],
    readOnlyTurns: log.readOnlyTurns,
    brokenText: hasBrokenText(value),
  }
}

/**
 * Reads every row in the first row's format. Does not throw for rows that do not fit: each result
 * has its problems, and what was used and left out. Throws DataError if the first row has no known
 * format.
 */
export function readRows(data: RawDataset): DataReading {
  const format = getFormat(data)
  const rows = data.rows.map((row) => readRow(row, format))
  const summary = {
    leftOut: countPaths(rows.map(({ leftOut }) => leftOut)),
    readOnlyTurns: rows.reduce((sum, row) => sum + row.readOnlyTurns, 0),
    brokenText: rows.filter(({ brokenText }) => brokenText).length,
  }
  return { name: data.name, format, rows, summary }
}

/**
 * Every row as an example with its weight, all in the first row's format, and a summary of what is
 * not used. Throws one DataError that names every row that does not fit, with its keys, or whose
 * weight is invalid; and one if all weights are 0.
 */
export function readExamples(data: RawDataset): {
  format: DataFormat
  examples: NumberedExample[]
  summary: DataSummary
} {
  const { format, rows, summary } = readRows(data)
  const problems = rows.flatMap((row) => row.problems.map((one) => `row ${row.number}: ${one}`))
  if (problems.length > 0)
    throw createDataError(
      data.name,
      `rows are not of the format "${format.name}", ${format.syntax}`,
      problems,
    )
  if (rows.every(({ weight }) => weight === 0))
    throw new DataError(`${data.name}: every row has the weight 0, so there is nothing to learn.`)
  const examples = rows.flatMap(({ number, example, weight, passed }) =>
    example ? [{ number, example, weight, passed }] : [],
  )
  return { format, examples, summary }
}
