// The table of data formats, and which of them a data set is in. A new format is a file and a row
// here.

import { DataError } from '../../base/errors.ts'
import type { DataFormat, Example, DataRecord } from './data-format.ts'
import { instruction } from './instruction.ts'
import { createDataError, type RawDataset } from './jsonl.ts'
import { messages } from './messages.ts'
import { preference } from './preference.ts'
import { promptCompletion } from './prompt-completion.ts'
import { readWeight } from './row-weight.ts'
import { text } from './text.ts'

export const dataFormats: ReadonlyMap<string, DataFormat> = new Map(
  [preference, messages, promptCompletion, instruction, text].map((format) => [
    format.name,
    format,
  ]),
)

const describeKeys = (row: DataRecord): string => Object.keys(row).join(', ') || 'none'

const describeFormats = (): string =>
  [...dataFormats.values()].map(({ name, syntax }) => `  ${name}: ${syntax}`).join('\n')

/**
 * The format of a data set by its first row. Throws DataError that names the row's keys and the
 * formats there are.
 */
export function detectFormat({ name, rows }: RawDataset): DataFormat {
  const first = rows[0]
  if (!first) throw new DataError(`${name}: holds no rows.`)
  const format = [...dataFormats.values()].find(({ matches }) => matches(first.value))
  if (format) return format
  throw new DataError(
    `${name}: row ${first.number} is of no known format; its keys are ${describeKeys(first.value)}. Rows may be:\n${describeFormats()}`,
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
export function readExamples(data: RawDataset): {
  format: DataFormat
  examples: NumberedExample[]
} {
  const format = detectFormat(data)
  const problems: string[] = []
  const examples = data.rows.flatMap(({ number, value, weight = readWeight(value) }) => {
    const example = format.matches(value)
      ? format.read(value)
      : `its keys are ${describeKeys(value)}`
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
    throw createDataError(
      data.name,
      `rows are not of the format "${format.name}", ${format.syntax}`,
      problems,
    )
  if (examples.every(({ weight }) => weight === 0))
    throw new DataError(`${data.name}: every row has the weight 0, so there is nothing to learn.`)
  return { format, examples }
}
