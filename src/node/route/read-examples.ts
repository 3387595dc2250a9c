// Prompts whose right expert is known, from a file of rows.

import { DataError } from '../../base/errors.ts'
import { describeValue, joinProblems } from '../../base/schema.ts'
import type { RouteExample } from '../../route/router.ts'
import { findUserText } from '../../server/routing/request-text.ts'
import { readDataFile } from '../data.ts'

/** Keys that may hold the prompt, and keys that may hold the expert. */
const textKeys = ['text', 'prompt', 'question', 'input']
const expertKeys = ['expert', 'label']
/** Names that mean none of the experts. */
const noneNames = ['none', 'base', 'oos', '']

const mostShown = 5

/**
 * Rows { "text" } (or prompt, question, input, messages) that no expert answers. Throws DataError
 * that lists wrong rows, such as those that name an expert.
 */
export async function readForeignExamples(path: string): Promise<RouteExample[]> {
  return readRows(path, (row) => {
    const named = expertKeys.map((key) => row[key]).find((one) => !isNone(one))
    return named === undefined
      ? { expert: undefined }
      : `names the expert ${describeValue(named)}, and these rows are prompts of none`
  })
}

/**
 * Rows { "text", "expert" } (or prompt, question, input, messages; label), JSONL, CSV or Parquet;
 * null, "none", "base" and "oos" are no expert. Throws DataError that lists wrong rows.
 */
export async function readRouteExamples(path: string): Promise<RouteExample[]> {
  return readRows(path, (row) => {
    const key = expertKeys.find((one) => row[one] !== undefined)
    const expert = key === undefined ? undefined : row[key]
    if (expert !== null && typeof expert !== 'string')
      return `expert: got ${describeValue(expert)}, expected a name or null`
    return { expert: isNone(expert) ? undefined : expert }
  })
}

const isNone = (expert: unknown): expert is null | undefined =>
  expert === undefined || expert === null || noneNames.includes(expert as string)

type Row = Readonly<Record<string, unknown>>

/** `judge`: the expert of a row, or what is wrong with the row. */
async function readRows(
  path: string,
  judge: (row: Row) => Pick<RouteExample, 'expert'> | string,
): Promise<RouteExample[]> {
  const { rows } = await readDataFile(path)
  const problems: string[] = []
  const examples = rows.flatMap(({ value, number }): RouteExample[] => {
    const row = value as Row
    const text = textKeys.map((key) => row[key]).find((one) => typeof one === 'string')
    const messages = row['messages']
    const found = text ?? (Array.isArray(messages) ? findUserText(messages) : undefined)
    const judged = judge(row)
    if (typeof found !== 'string')
      problems.push(`row ${number}: has no ${textKeys.join(', ')} or messages`)
    else if (typeof judged === 'string') problems.push(`row ${number}: ${judged}`)
    else return [{ text: found, expert: judged.expert }]
    return []
  })
  if (problems.length > 0) {
    const more = problems.length > mostShown ? ` … and ${problems.length - mostShown} more.` : ''
    throw new DataError(`${path}: ${joinProblems(problems.slice(0, mostShown))}${more}`)
  }
  if (examples.length === 0) throw new DataError(`${path}: contains no rows.`)
  return examples
}
