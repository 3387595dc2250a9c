// Rows of a CSV file: the first line names the keys. The parser is the build that includes a
// Buffer, because browsers have none. Independent of formats of training data.

import { CsvError, type Info, parse } from 'csv-parse/browser/esm/sync'
import { DataError } from '../../base/errors.ts'
import { parseExactJson } from '../../base/exact-number.ts'
import { createDataError, type RawDataset } from '../data/jsonl.ts'

/** The keys of a table. Throws DataError if two columns have the same one. */
function readKeys(header: readonly string[], name: string): string[] {
  const twice = header.find((key, i) => header.indexOf(key) !== i)
  if (twice !== undefined) throw new DataError(`${name}: two columns are named "${twice}".`)
  return header.map((key) => (key === '' ? '__index_level_0__' : key)) // pandas' index has no name
}

const numberKeys = new Set(['weight', 'quality'])
const listKeys = new Set(['prompt', 'completion', 'chosen', 'rejected'])

const isMessages = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every((one) => typeof one === 'object' && one !== null && ('role' in one || 'from' in one))

interface CsvRecord {
  readonly record: readonly string[]
  readonly info: Info
}

/** A line of white space, which is no row. */
const isBlank = (record: readonly string[]): boolean =>
  record.length === 1 && record[0]!.trim() === ''

/**
 * A cell: a number if the key is numeric, a list if it is messages as JSON, else a string.
 */
function readCell(key: string, cell: string): unknown {
  if (numberKeys.has(key)) return cell === '' ? null : Number(cell)
  if (!listKeys.has(key) || !/^\s*\[\s*\{/.test(cell)) return cell
  try {
    const value = parseExactJson(cell)
    return isMessages(value) ? value : cell
  } catch {
    return cell
  }
}

/**
 * The rows of a CSV text; numbers are those of the lines that they end on. Throws DataError that
 * names the line which cannot be read.
 */
export function readCsv(text: string, name: string, separator: string): RawDataset {
  let records: CsvRecord[]
  try {
    records = parse(text, {
      bom: true,
      delimiter: separator,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
    }) as never
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause
    throw new DataError(`${name}: is not valid CSV: ${cause.message}.`, { cause })
  }
  const [header, ...lines] = records.filter(({ record }) => !isBlank(record))
  if (!header || lines.length === 0)
    throw new DataError(`${name}: contains no rows. The first line names the columns.`)
  const keys = readKeys(header.record, name)
  const problems = lines.flatMap(({ record, info }) =>
    record.length === keys.length
      ? []
      : [`row ${info.lines}: got ${record.length} cells, expected ${keys.length}`],
  )
  if (problems.length > 0) throw createDataError(name, 'is not valid CSV', problems)
  const rows = lines.map(({ record, info }) => ({
    number: info.lines,
    value: Object.fromEntries(keys.map((key, i) => [key, readCell(key, record[i]!)])),
  }))
  return { name, rows }
}
