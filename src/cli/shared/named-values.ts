// Parses 'power=2,minimum=0.1': numbers, booleans or strings by name. Independent of which names
// exist.

import { UsageError } from '../command.ts'

function parseValue(text: string): number | boolean | string {
  if (text === 'true' || text === 'false') return text === 'true'
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}

/**
 * Values by name. Throws UsageError for a part without a name or without a value, and for a
 * duplicate name.
 */
export function parseNamedValues(
  option: string,
  text: string | undefined,
): Record<string, number | boolean | string> {
  const values: Record<string, number | boolean | string> = {}
  for (const part of text === undefined || text.trim() === '' ? [] : text.split(',')) {
    const [name, value, ...rest] = part.split('=').map((word) => word.trim())
    if (!name || !value || rest.length > 0)
      throw new UsageError(`${option}: "${part.trim()}" is not of the form name=value.`)
    if (Object.hasOwn(values, name)) throw new UsageError(`${option}: "${name}" is given twice.`)
    values[name] = parseValue(value)
  }
  return values
}
