// Tools of the APIs beside OpenAI's chat, in the form that conversations have.

import { describeValue, isRecord } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'

export interface GivenTool {
  readonly name: unknown
  readonly description: unknown
  readonly parameters: unknown
}

/** OpenAI's form of a function. Throws RequestError for a name that is none. */
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

/** A value of the body that is wrong, at its path. */
export const createValueError = (param: string, text: string): RequestError =>
  new RequestError(`${param}: ${text}.`, { param, code: 'invalid_value' })
