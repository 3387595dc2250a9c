// What Graft reads from an odd file of rows, in the form in which the reference's result is written.

import { createHash } from 'node:crypto'
import { GraftError } from '../../../src/base/errors.ts'
import { ExactNumber } from '../../../src/base/exact-number.ts'
import { readRowBytes } from '../../../src/node/rows/row-file.ts'
import type { CorpusReading, Reason } from './compare.ts'
import type { OddFile } from './odd-files.ts'

/** A number as the reference script writes it: whole ones as digits, others with 12 digits. */
function writeNumber(text: string): string {
  if (/^-?\d+$/.test(text)) return text === '-0' ? '0' : text
  const value = Number(text)
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value)
  if (!Number.isFinite(value))
    return `${String(value).replace('Infinity', 'inf').replace('NaN', 'nan')}e0`
  const [digits, power] = value.toExponential(11).split('e')
  return `${digits}e${Number(power)}`
}

/** The value with numbers as texts, keys sorted, and those without a value left out. */
function toPlain(value: unknown): unknown {
  if (typeof value === 'number' || value instanceof ExactNumber)
    return `#${writeNumber(String(value))}`
  if (Array.isArray(value)) return value.map(toPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null && item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, toPlain(item)]),
  )
}

/** JSON in ASCII, as Python's json module writes it. */
const writeAscii = (value: unknown): string =>
  JSON.stringify(value).replaceAll(
    /[\u007f-\uffff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export async function readFileAsReference({ name, bytes }: OddFile): Promise<CorpusReading> {
  try {
    const { rows } = await readRowBytes(bytes, name)
    const text = writeAscii(rows.map(({ value }) => toPlain(value)))
    return { result: createHash('sha256').update(text).digest('hex').slice(0, 12), details: text }
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    return { result: 'error', details: error.message }
  }
}

export const fileReasons: readonly Reason<OddFile>[] = [
  {
    name: 'Parquet, gzip and Zstandard are known by their first bytes, whatever the file is called',
    fits: ({ mutation }, _, theirs) => theirs === 'error' && mutation === 'another name',
  },
  {
    name: 'half a surrogate pair is kept, and counted with the rows; datasets drops it or refuses',
    fits: ({ mutation }) => mutation === 'half a surrogate pair',
  },
  {
    name: 'Arrow’s own copy of the schema in a Parquet file is damaged; Graft does not need it',
    fits: ({ container, mutation }, _, theirs) =>
      theirs === 'error' && container === 'Parquet' && mutation === 'a byte differs',
  },
  {
    name: 'a map of Parquet is read as an object; datasets has no such type',
    fits: (_, { details }, theirs) => theirs === 'error' && details.includes('"metadata":{"k"'),
  },
  {
    name: 'integers of more than 15 digits are kept in chats; elsewhere they are rounded',
    fits: (_, { details }) => /"id":"#(9007199254740992|18446744073709552000)"/.test(details),
  },
]
