// Arguments of Python's methods, Jinja's filters and macros: positions and names to parameters.

import { toText } from './show.ts'
import { describeType, type NamedValues, refuseUndefined, TemplateError } from './values.ts'

/** What each parameter was given, undefined if nothing was. Throws for what has no parameter. */
export function bindArguments(
  name: string,
  parameters: readonly string[],
  args: readonly unknown[],
  named: NamedValues,
): unknown[] {
  if (args.length > parameters.length)
    throw new TemplateError(
      `${name}() takes at most ${parameters.length} arguments (${args.length} given)`,
    )
  const unknown = [...named.keys()].find((key) => !parameters.includes(key))
  if (unknown !== undefined)
    throw new TemplateError(`${name}() got an unexpected keyword argument '${unknown}'`)
  return parameters.map((parameter, i) => (i < args.length ? args[i] : named.get(parameter)))
}

export function readText(name: string, value: unknown): string {
  refuseUndefined(value)
  if (typeof value === 'string') return value
  throw new TemplateError(`${name}() argument must be str, not ${describeType(value)}`)
}

/** An int; `standard` where none was given. */
export function readInteger(name: string, value: unknown, standard: number): number {
  refuseUndefined(value)
  if (value === undefined || value === null) return standard
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return Number(value)
  throw new TemplateError(`${name}(): '${describeType(value)}' object is not an integer`)
}

/** Text, or anything else as it prints. */
export const readLoosely = (value: unknown, standard = ''): string =>
  value === undefined ? standard : toText(value)
