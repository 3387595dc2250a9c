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
 * Rows { "text", "expert" } (or prompt, question, input, messages; label), JSONL, CSV or Parquet;
 * null, "none", "base" and "oos" are no expert. Throws DataError that lists wrong rows.
 */
export async function readRouteExamples(path: string): Promise<RouteExample[]> {
  const { rows } = await readDataFile(path)
  const problems: string[] = []
  const examples = rows.flatMap(({ value, number }): RouteExample[] => {
    const row = value as Readonly<Record<string, unknown>>
    const text = textKeys.map((key) => row[key]).find((one) => typeof one === 'string')
    const messages = row['messages']
    const found = text ?? (Array.isArray(messages) ? findUserText(messages) : undefined)
    const key = expertKeys.find((one) => row[one] !== undefined)
    const expert = key === undefined ? undefined : row[key]
    if (typeof found !== 'string')
      problems.push(`row ${number}: has no ${textKeys.join(', ')} or messages`)
    else if (expert !== null && typeof expert !== 'string')
      problems.push(`row ${number}: expert: got ${describeValue(expert)}, expected a name or null`)
    else
      return [
        {
          text: found,
          expert: expert === null || noneNames.includes(expert) ? undefined : expert,
        },
      ]
    return []
  })
  if (problems.length > 0) {
    const more = problems.length > mostShown ? ` … and ${problems.length - mostShown} more.` : ''
    throw new DataError(`${path}: ${joinProblems(problems.slice(0, mostShown))}${more}`)
  }
  if (examples.length === 0) throw new DataError(`${path}: contains no rows.`)
  return examples
}
