// Reads JSONL: one JSON object a line. Independent of data formats; keeps each row's number for
// errors.

import { DataError } from '../../base/errors.ts'

export interface DataRow {
  /** Line in the file, from 1. */
  readonly number: number
  readonly value: Readonly<Record<string, unknown>>
  /** How much the row counts; 1 unless given. */
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

/** The first problems, and how many there are besides. */
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

/**
 * The rows of a JSONL text; blank lines are passed over, but counted in row numbers. Throws one
 * DataError that names every row which is not a JSON object, and one where there is no row at all.
 */
export function parseJsonl(text: string | Iterable<string>, name: string): RawDataset {
  const lines = typeof text === 'string' ? text.replace(/^\uFEFF/, '').split('\n') : text
  const rows: DataRow[] = []
  const problems: string[] = []
  let number = 0
  for (const line of lines) {
    number++
    if (line.trim() === '') continue
    try {
      const value: unknown = JSON.parse(line)
      if (isObject(value)) rows.push({ number, value })
      else problems.push(`row ${number}: got ${describeType(value)}, expected a JSON object`)
    } catch (error) {
      problems.push(`row ${number}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  if (problems.length > 0) throw createDataError(name, 'is not valid JSONL', problems)
  if (rows.length === 0)
    throw new DataError(`${name}: holds no rows. Give at least one JSON object, one a line.`)
  return { name, rows }
}

/** Objects that are in memory already, as a data set. Throws as `parseJsonl` does. */
export function createRawDataset(values: readonly unknown[], name: string): RawDataset {
  const problems = values.flatMap((value, i) =>
    isObject(value) ? [] : [`row ${i + 1}: got ${describeType(value)}, expected an object`],
  )
  if (problems.length > 0) throw createDataError(name, 'holds rows that are no objects', problems)
  if (values.length === 0) throw new DataError(`${name}: holds no rows.`)
  return {
    name,
    rows: (values as readonly DataRow['value'][]).map((value, i) => ({ number: i + 1, value })),
  }
}
