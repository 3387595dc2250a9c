// Rows of a CSV file: the first line names the keys. Independent of formats of training data.

import { CsvError, type Info, parse } from 'csv-parse/sync'
import { DataError } from '../../base/errors.ts'
import { parseExactJson } from '../../base/exact-number.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'

/** The keys of a table. Throws DataError where two columns have the same one. */
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

/** A cell: a number where the key holds one, a list where it holds messages as JSON, else a text. */
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
  let records: { record: Record<string, string>; info: Info }[]
  try {
    records = parse(text, {
      bom: true,
      columns: (header: string[]) => readKeys(header, name),
      delimiter: separator,
      info: true,
      skip_empty_lines: true,
    }) as never
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause
    throw new DataError(`${name}: is no valid CSV: ${cause.message}.`, { cause })
  }
  if (records.length === 0)
    throw new DataError(`${name}: holds no rows. The first line names the columns.`)
  const rows = records.map(({ record, info }) => ({
    number: info.lines,
    value: Object.fromEntries(
      Object.entries(record).map(([key, cell]) => [key, readCell(key, cell)]),
    ),
  }))
  return { name, rows }
}
