// Reads JSONL: one JSON object a line. Independent of data formats; keeps each row's number for
// errors.

import { DataError } from '../../base/errors.ts'
import { canHoldExactNumber, parseExactJson } from '../../base/exact-number.ts'
import { findRepeatedKey } from '../../base/repeated-key.ts'

export interface DataRow {
  /** Line in the file, or place in an array or a table, from 1. */
  readonly number: number
  readonly value: Readonly<Record<string, unknown>>
  /** How much the row counts. Default: 1. */
  readonly weight?: number
}

/** Rows and where they came from. */
export interface RawDataset {
  /** Shown in errors: a file's name. */
  readonly name: string
  readonly rows: readonly DataRow[]
  /** Where it is known, it goes into the metadata of the adapter that is trained. */
  readonly contentHash?: string
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What is wrong with a value that should be a row, in a few words. */
const describeType = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`

/** An error with the first problems and the number of further ones. */
export function createDataError(
  name: string,
  what: string,
  problems: readonly string[],
): DataError {
  const shown = problems.slice(0, 8).map((problem) => `  ${problem}`)
  if (problems.length > shown.length)
    shown.push(`  … and ${problems.length - shown.length} more rows`)
  return new DataError([`${name}: ${what}:`, ...shown].join('\n'))
}

/** Keys below which numbers keep their text, because chat templates print them. */
const chatKeys = [
  'messages',
  'conversations',
  'prompt',
  'completion',
  'chosen',
  'rejected',
  'tools',
  'functions',
]

/**
 * Parses a row. Numbers below the keys of chats keep their text, so that 1.0 and long integers are
 * learned as they were written. Other numbers are JavaScript numbers.
 */
function parseRow(text: string): unknown {
  const plain: unknown = JSON.parse(text)
  const twice = findRepeatedKey(text, plain)
  if (twice) throw new SyntaxError(describeRepeatedKey(twice.key))
  if (!isObject(plain) || !canHoldExactNumber(text)) return plain
  const keys = chatKeys.filter((key) => typeof plain[key] === 'object')
  return keys.length > 0 ? withExactChats(plain, parseExactJson(text), keys) : plain
}

function withExactChats(
  plain: Record<string, unknown>,
  exact: unknown,
  keys: readonly string[] = chatKeys,
): Record<string, unknown> {
  const values = exact as Record<string, unknown>
  return Object.fromEntries(
    Object.entries(plain).map(([key, value]) => [key, keys.includes(key) ? values[key] : value]),
  )
}

const describeRepeatedKey = (key: string): string =>
  `${JSON.stringify(key)} appears twice in one object, and only one of the two would be read`

/** The problem of a value that is not a row. */
const describeProblem = (number: number, value: unknown): string =>
  `row ${number}: got ${describeType(value)}, expected a JSON object`

/** Rows of one JSON array; undefined if the text is not one. */
function parseArray(text: string): { rows: DataRow[]; problems: string[] } | undefined {
  let plain: unknown
  try {
    plain = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(plain)) return undefined
  const exact = canHoldExactNumber(text) ? (parseExactJson(text) as unknown[]) : plain
  const rows: DataRow[] = []
  const problems: string[] = []
  const twice = findRepeatedKey(text, plain)
  if (twice) problems.push(`row ${twice.index + 1}: ${describeRepeatedKey(twice.key)}`)
  for (const [i, value] of plain.entries()) {
    const number = i + 1
    if (isObject(value)) rows.push({ number, value: withExactChats(value, exact[i]) })
    else problems.push(describeProblem(number, value))
  }
  return { rows, problems }
}

function parseLines(lines: Iterable<string>): { rows: DataRow[]; problems: string[] } {
  const rows: DataRow[] = []
  const problems: string[] = []
  let number = 0
  for (const line of lines) {
    number++
    if (line.trim() === '') continue
    try {
      const value = parseRow(line)
      if (isObject(value)) rows.push({ number, value })
      else problems.push(describeProblem(number, value))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      problems.push(`row ${number}: ${describeLastComma(line) ?? shortenReason(reason)}`)
    }
  }
  return { rows, problems }
}

/** The parser counts lines within the row, where there is only one: its column is enough. */
const shortenReason = (reason: string): string =>
  reason.replace(/ in JSON at position \d+ \(line 1 column (\d+)\)$/, ' at column $1')

/**
 * Describes a trailing comma, the most frequent mistake in JSON written by hand; undefined for
 * other mistakes.
 */
function describeLastComma(text: string): string | undefined {
  const [, bracket] = /,\s*([}\]])\s*$/.exec(text) ?? []
  return bracket === undefined
    ? undefined
    : `is not valid JSON: remove the comma before the last ${bracket}`
}

/** The likely format of a text that is not JSONL; undefined if it is not obvious. */
function findLayoutProblem(text: string): string | undefined {
  const start = text.trimStart()
  if (start.startsWith('version https://git-lfs'))
    return 'is a Git LFS pointer: the content was not fetched. Run git lfs pull'
  if (/^<(!doctype|html)/i.test(start)) return 'is an HTML page; download the file itself'
  if (/^\[\s*[{[\]]/.test(start)) {
    try {
      JSON.parse(text)
    } catch (error) {
      const reason = (error as Error).message.replaceAll(/\s*\n\s*/g, ' ')
      return `begins as a JSON array, and ${describeLastComma(text) ?? `is not valid JSON: ${reason}`}`
    }
  }
  if (!/^\{\s*\n/.test(start)) return undefined
  const keys = findListKeys(text)
  return keys === undefined
    ? 'contains JSON objects over several lines. Write each row on one line, or all of them as one JSON array'
    : `is one JSON object${keys.length > 0 ? `, whose rows seem to be the list under "${keys.join('" or "')}"` : ''}. Give that list alone, or one row a line`
}

/**
 * The keys of one JSON object whose values are lists of objects; undefined if the text is not an
 * object.
 */
function findListKeys(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Object.entries(value as object).flatMap(([key, list]) =>
      Array.isArray(list) && list.some(isObject) ? [key] : [],
    )
  } catch {
    return undefined
  }
}

/**
 * The rows of a JSONL text, or of a text that is one JSON array; blank lines are skipped, but
 * counted in row numbers. Throws one DataError that names every row which is not a JSON object, and
 * one if there is no row at all.
 */
export function parseJsonl(text: string | Iterable<string>, name: string): RawDataset {
  const whole = typeof text === 'string' ? text.replace(/^\uFEFF/, '') : undefined
  const array = whole !== undefined && /^\s*\[/.test(whole) ? parseArray(whole) : undefined
  const { rows, problems } = array ?? parseLines(whole?.split('\n') ?? text)
  if (problems.length > 0) {
    const layout = whole === undefined || array ? undefined : findLayoutProblem(whole)
    if (layout !== undefined) throw new DataError(`${name}: ${layout}.`)
    throw createDataError(
      name,
      array ? 'contains rows that are not JSON' : 'is not valid JSONL',
      problems,
    )
  }
  if (rows.length === 0)
    throw new DataError(`${name}: contains no rows. Give at least one JSON object, one a line.`)
  return { name, rows }
}

/** Objects that are in memory already, as a data set. Throws as `parseJsonl` does. */
export function createRawDataset(values: readonly unknown[], name: string): RawDataset {
  const problems = values.flatMap((value, i) =>
    isObject(value) ? [] : [`row ${i + 1}: got ${describeType(value)}, expected an object`],
  )
  if (problems.length > 0)
    throw createDataError(name, 'contains rows that are not objects', problems)
  if (values.length === 0) throw new DataError(`${name}: contains no rows.`)
  return {
    name,
    rows: (values as readonly DataRow['value'][]).map((value, i) => ({ number: i + 1, value })),
  }
}
