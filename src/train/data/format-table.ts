// The table of data formats, and which of them a data set is in. A new format is a file and a row
// here.

import { DataError } from '../../base/errors.ts'
import type { DataFormat, Example, Row } from './data-format.ts'
import { instruction } from './instruction.ts'
import { dataError, type DataSet } from './jsonl.ts'
import { messages } from './messages.ts'
import { preference } from './preference.ts'
import { promptCompletion } from './prompt-completion.ts'
import { rowWeight } from './row-weight.ts'
import { text } from './text.ts'

export const dataFormats: ReadonlyMap<string, DataFormat> = new Map(
  [preference, messages, promptCompletion, instruction, text].map((format) => [
    format.name,
    format,
  ]),
)

const keysOf = (row: Row): string => Object.keys(row).join(', ') || 'none'

const known = (): string =>
  [...dataFormats.values()].map(({ name, looks }) => `  ${name}: ${looks}`).join('\n')

/**
 * The format of a data set by its first row. Throws DataError that names the row's keys and the
 * formats there are.
 */
export function detectFormat({ name, rows }: DataSet): DataFormat {
  const first = rows[0]
  if (!first) throw new DataError(`${name}: holds no rows.`)
  const format = [...dataFormats.values()].find(({ fits }) => fits(first.value))
  if (format) return format
  throw new DataError(
    `${name}: row ${first.number} is of no known format; its keys are ${keysOf(first.value)}. Rows may be:\n${known()}`,
  )
}

export interface NumberedExample {
  /** The row's number in its file. */
  readonly number: number
  readonly example: Example
  /** How much the row counts. */
  readonly weight: number
}

/**
 * Every row as an example with its weight, all in the first row's format. Throws one DataError that
 * names every row which does not fit and its keys, or whose weight is none, and one where no row
 * counts anything.
 */
export function readExamples(data: DataSet): { format: DataFormat; examples: NumberedExample[] } {
  const format = detectFormat(data)
  const problems: string[] = []
  const examples = data.rows.flatMap(({ number, value, weight = rowWeight(value) }) => {
    const example = format.fits(value) ? format.read(value) : `its keys are ${keysOf(value)}`
    if (typeof example !== 'string' && typeof weight !== 'string')
      return [{ number, example, weight }]
    problems.push(
      ...[example, weight]
        .filter((problem) => typeof problem === 'string')
        .map((problem) => `row ${number}: ${problem}`),
    )
    return []
  })
  if (problems.length > 0)
    throw dataError(
      data.name,
      `rows are not of the format "${format.name}", ${format.looks}`,
      problems,
    )
  if (examples.every(({ weight }) => weight === 0))
    throw new DataError(`${data.name}: every row has the weight 0, so there is nothing to learn.`)
  return { format, examples }
}
