// Tools and objects of the APIs other than OpenAI's chat, in the form that conversations have.

import { createField, describeValue, isRecord } from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import { RequestError } from '../../request-error.ts'

export interface GivenTool {
  readonly name: unknown
  readonly description: unknown
  readonly parameters: unknown
}

/** OpenAI's form of a function. Throws RequestError for an invalid name. */
export function toFunctionTool(
  { name, description, parameters }: GivenTool,
  place: string,
): Readonly<Record<string, unknown>> {
  if (typeof name !== 'string' || !/^[a-zA-Z0-9_-]{1,64}$/.test(name))
    throw createValueError(
      `${place}.name`,
      `got ${describeValue(name)}, expected 1 to 64 letters, digits, _ and -`,
    )
  if (parameters !== undefined && parameters !== null && !isRecord(parameters))
    throw createValueError(place, `its schema is ${describeValue(parameters)}, expected an object`)
  return {
    type: 'function',
    function: {
      name,
      ...(typeof description === 'string' && { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  }
}

const MOST_TOOLS = 128

/** Tools in the form of their API; `toFunctionTool` checks each. */
export const toolListField = createField<readonly GivenRecord[]>(
  `a list of at most ${MOST_TOOLS} tools`,
  { type: 'array', maxItems: MOST_TOOLS, items: { type: 'object' } },
  (value) => Array.isArray(value) && value.length <= MOST_TOOLS && value.every(isRecord),
)

type GivenRecord = Readonly<Record<string, unknown>>

/** An object whose keys the reader of the body checks with `checkKeys`. */
export const createObjectField = (about: string) =>
  createField<GivenRecord>('an object', { type: 'object' }, isRecord, { about })

/** Throws RequestError for a key that would have no effect. */
export function checkKeys(
  value: GivenRecord | undefined,
  known: readonly string[],
  place: string,
): void {
  const unknown = Object.keys(value ?? {}).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const meant = findNearestName(unknown, known)
  throw createValueError(
    `${place}.${unknown.slice(0, 100)}`,
    `is not known here; known are ${known.join(', ')}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`,
  )
}

/** The entries that were given; null counts as absent, as in the fields of a body. */
export const pickGiven = <Of extends object>(values: Of): Partial<Of> =>
  Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<Of>

/**
 * The arguments of a call as an object; a string that is not an object, which a model may write,
 * under one key.
 */
export function parseArguments(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text)
  } catch {
    return { arguments: text }
  }
}

/** The error of a wrong value in the body, at its path. */
export const createValueError = (param: string, text: string): RequestError =>
  new RequestError(`${param}: ${text}.`, { param, code: 'invalid_value' })
