// Prompts whose right expert is known, from a file of rows.

import { DataError } from '../../base/errors.ts'
import { describeValue, isRecord, joinProblems } from '../../base/schema.ts'
import type { RouteExample } from '../../route/router.ts'
import { readDataFile } from '../data.ts'

/** Keys that may hold the prompt, and keys that may hold the expert. */
const textKeys = ['text', 'prompt', 'question', 'input']
const expertKeys = ['expert', 'label']
/** Names that stand for none of the experts. */
const noneNames = ['none', 'base', 'oos', '']

const mostShown = 5

/** The last message of the user. */
export function findUserText(messages: unknown): string | undefined {
  if (!Array.isArray(messages)) return undefined
  const last = messages.findLast(
    (message: unknown) => isRecord(message) && message['role'] === 'user',
  )
  const content: unknown = isRecord(last) ? last['content'] : undefined
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  return content
    .flatMap((part: unknown) =>
      isRecord(part) && typeof part['text'] === 'string' ? [part['text']] : [],
    )
    .join('\n')
}

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
    const found = text ?? findUserText(row['messages'])
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
  if (examples.length === 0) throw new DataError(`${path}: holds no rows.`)
  return examples
}
