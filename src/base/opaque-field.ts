// Fields for values that code receives whole: models, adapters, callbacks. Errors describe such a
// value by its type, because its content can be large or refer to itself.

import { createField, type Field, isRecord } from './schema.ts'

/** 'nothing', 'a list of 3', 'an object with rows, name', 'a string "abc"'. */
export function describeType(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (isRecord(value)) {
    const keys = Object.keys(value)
    const names = `${keys.slice(0, 6).join(', ')}${keys.length > 6 ? ', …' : ''}`
    return keys.length > 0 ? `an object with ${names}` : 'an object without entries'
  }
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 60))}`
  return typeof value === 'function' ? 'a function' : `the ${typeof value} ${String(value)}`
}

/** A field whose problems name the type of what was given. */
export function createOpaqueField<Value>(
  expected: string,
  is: (value: unknown) => boolean,
): Field<Value> {
  const field = createField<Value>(expected, {}, is)
  const findProblems = (value: unknown, name: string): string[] =>
    is(value) ? [] : [`${name}: got ${describeType(value)}, expected ${expected}`]
  return { ...field, findProblems }
}
