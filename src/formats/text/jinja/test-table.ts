// Jinja's tests: what may follow `is`.

import { comparisonSigns, computeBinary, isEqual, isMember } from './operators.ts'
import { toText } from './show.ts'
import { stringMethods } from './string-methods.ts'
import {
  Callable,
  Float,
  isDict,
  isInteger,
  Loop,
  Stream,
  TemplateError,
  Undefined,
} from './values.ts'

type Test = (value: unknown, args: readonly unknown[]) => boolean

const compare =
  (sign: string): Test =>
  (value, [other]) =>
    comparisonSigns[sign]!(value, other)

const isNumber = (value: unknown): boolean =>
  isInteger(value) || value instanceof Float || typeof value === 'boolean'

const hasCase =
  (method: 'islower' | 'isupper'): Test =>
  (value) =>
    stringMethods[method]!(toText(value), [], new Map()) === true

const isIterable = (value: unknown): boolean =>
  typeof value === 'string' ||
  Array.isArray(value) ||
  isDict(value) ||
  value instanceof Stream ||
  value instanceof Undefined

export const tests: Readonly<Record<string, Test>> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  true: (value) => value === true,
  false: (value) => value === false,
  integer: isInteger,
  float: (value) => value instanceof Float,
  number: isNumber,
  string: (value) => typeof value === 'string',
  mapping: isDict,
  sequence: (value) => isIterable(value) && !(value instanceof Stream),
  iterable: isIterable,
  callable: (value) =>
    value instanceof Callable || value instanceof Undefined || value instanceof Loop,
  lower: hasCase('islower'),
  upper: hasCase('isupper'),
  odd: (value) => isEqual(computeBinary('%', value, 2), 1),
  even: (value) => isEqual(computeBinary('%', value, 2), 0),
  divisibleby: (value, [by]) => isEqual(computeBinary('%', value, by), 0),
  sameas: (value, [other]) => value === other,
  escaped: () => false,
  in: (value, [container]) => isMember(value, container),
  filter: (value) => typeof value === 'string',
  eq: compare('=='),
  equalto: compare('=='),
  '==': compare('=='),
  ne: compare('!='),
  '!=': compare('!='),
  gt: compare('>'),
  greaterthan: compare('>'),
  '>': compare('>'),
  ge: compare('>='),
  '>=': compare('>='),
  lt: compare('<'),
  lessthan: compare('<'),
  '<': compare('<'),
  le: compare('<='),
  '<=': compare('<='),
}

/** Whether `value is name(args)`. */
export function applyTest(name: string, value: unknown, args: readonly unknown[]): boolean {
  if (!Object.hasOwn(tests, name)) throw new TemplateError(`No test named '${name}'`)
  return tests[name]!(value, args)
}
