// Errors as messages: class, message, stack, cause and all fields. Decoded, they are errors of the
// same class if this side has it, else of the nearest superclass that it has. Independent of how
// values of fields are encoded: the encoder is passed in.

import * as ownErrors from '../../base/errors.ts'
import { GraftError } from '../../base/errors.ts'

export interface EncodedError {
  /** The names of its class and those above, the nearest first; empty for what is not an error. */
  readonly classes: readonly string[]
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /**
   * Own fields by name, including `cause`. A thrown value that is not an error is in the field
   * `thrown`.
   */
  readonly fields: Readonly<Record<string, unknown>>
}

type ErrorClass = abstract new (...given: never[]) => Error

const isErrorClass = (value: unknown): value is ErrorClass =>
  value === GraftError || (typeof value === 'function' && value.prototype instanceof GraftError)

const classes: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ...Object.entries(ownErrors as Record<string, unknown>).filter(
    (entry): entry is [string, ErrorClass] => isErrorClass(entry[1]),
  ),
  ...[Error, TypeError, RangeError, SyntaxError, ReferenceError, URIError, AggregateError].map(
    (one): [string, ErrorClass] => [one.name, one],
  ),
])

/** Own properties that are not enumerable and must be sent too. */
const hiddenFields = ['cause', 'errors']

/** Encodes any thrown value. `encodeField` must not throw. */
export function encodeThrown(
  error: unknown,
  encodeField: (value: unknown) => unknown,
): EncodedError {
  if (!(error instanceof Error)) {
    const fields = { thrown: encodeField(error) }
    return { classes: [], name: '', message: String(error), stack: undefined, fields }
  }
  const names = [
    ...Object.keys(error).filter((name) => name !== 'stack' && name !== 'message'),
    ...hiddenFields.filter((name) => Object.hasOwn(error, name)),
  ]
  const given = error as unknown as Readonly<Record<string, unknown>>
  const fields = Object.fromEntries(
    [...new Set(names)].map((name) => [name, encodeField(given[name])]),
  )
  const { name, message, stack } = error
  return { classes: listClassNames(error), name, message, stack, fields }
}

/** The thrown value, to be thrown on this side. */
export function decodeThrown(
  { classes: names, name, message, stack, fields }: EncodedError,
  decodeField: (field: unknown) => unknown,
): unknown {
  if (names.length === 0) return decodeField(fields['thrown'])
  if (names[0] === 'DOMException') return new DOMException(message, name)
  const known = names.find((one) => classes.has(one)) ?? 'Error'
  const error = new Error(message)
  Object.setPrototypeOf(error, classes.get(known)!.prototype as object)
  if (error.name !== name) defineHidden(error, 'name', name)
  if (stack !== undefined) defineHidden(error, 'stack', stack)
  for (const [key, value] of Object.entries(fields))
    if (hiddenFields.includes(key)) defineHidden(error, key, decodeField(value))
    else (error as unknown as Record<string, unknown>)[key] = decodeField(value)
  return error
}

function listClassNames(error: Error): string[] {
  const names: string[] = []
  for (
    let prototype = Object.getPrototypeOf(error) as object | null;
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  )
    names.push(prototype.constructor.name)
  return names
}

function defineHidden(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, configurable: true, writable: true })
}
