// Python's operators on values of a template: arithmetic, equality, order, membership.

import { formatPercent } from './format-text.ts'
import { compareCodePoints } from './show.ts'
import {
  describeType,
  findKey,
  Float,
  isDict,
  isInteger,
  listItems,
  makeTuple,
  normalizeInteger,
  refuseUndefined,
  Stream,
  TemplateError,
  Tuple,
  Undefined,
  View,
} from './values.ts'

/** A bool, int or float as a number; undefined for anything else. */
const readNumber = (value: unknown): number | bigint | undefined => {
  if (value instanceof Float) return value.value
  if (typeof value === 'boolean') return Number(value)
  return isInteger(value) ? value : undefined
}

/** Python's `==`. */
export function isEqual(a: unknown, b: unknown): boolean {
  const left = readNumber(a)
  const right = readNumber(b)
  if (left !== undefined && right !== undefined)
    return typeof left === typeof right ? left === right : Number(left) === Number(right)
  if (a instanceof Undefined) return b instanceof Undefined
  if (isDict(a) && isDict(b))
    return (
      a.size === b.size && [...a].every(([key, item]) => b.has(key) && isEqual(item, b.get(key)))
    )
  if (Array.isArray(a) && Array.isArray(b))
    return (
      a instanceof Tuple === b instanceof Tuple &&
      a.length === b.length &&
      a.every((item, i) => isEqual(item, b[i]))
    )
  return a === b
}

/** Below 0 where `a < b`. Throws TemplateError for values without an order. */
export function compareValues(a: unknown, b: unknown, sign = '<'): number {
  refuseUndefined(a)
  refuseUndefined(b)
  const left = readNumber(a)
  const right = readNumber(b)
  if (left !== undefined && right !== undefined) return left < right ? -1 : left > right ? 1 : 0
  if (typeof a === 'string' && typeof b === 'string') return compareCodePoints(a, b)
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple) {
    for (let i = 0; i < Math.min(a.length, b.length); i++)
      if (!isEqual(a[i], b[i])) return compareValues(a[i], b[i], sign)
    return a.length - b.length
  }
  throw new TemplateError(
    `'${sign}' not supported between instances of '${describeType(a)}' and '${describeType(b)}'`,
  )
}

/** Python's `item in container`. */
export function isMember(item: unknown, container: unknown): boolean {
  if (typeof container === 'string') {
    if (typeof item === 'string') return container.includes(item)
    throw new TemplateError(
      `'in <string>' requires string as left operand, not ${describeType(item)}`,
    )
  }
  if (isDict(container)) return container.has(findKey(container, item))
  if (Array.isArray(container) || container instanceof Stream || container instanceof Undefined)
    return listItems(container).some((other) => isEqual(other, item))
  throw new TemplateError(`argument of type '${describeType(container)}' is not iterable`)
}

export const comparisonSigns: Readonly<Record<string, (a: unknown, b: unknown) => boolean>> = {
  '==': isEqual,
  '!=': (a, b) => !isEqual(a, b),
  '<': (a, b) => compareValues(a, b, '<') < 0,
  '<=': (a, b) => compareValues(a, b, '<=') <= 0,
  '>': (a, b) => compareValues(a, b, '>') > 0,
  '>=': (a, b) => compareValues(a, b, '>=') >= 0,
  in: isMember,
  'not in': (a, b) => !isMember(a, b),
}

const computeModulo = (a: number, b: number): number => {
  const rest = a % b
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
}

const computeQuotient = (a: bigint, b: bigint): bigint => {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

interface Arithmetic {
  readonly integers: (a: bigint, b: bigint) => bigint | Float
  readonly floats: (a: number, b: number) => number
}

const divide = (a: bigint, b: bigint): Float => new Float(Number(a) / Number(b))

const arithmetic: Readonly<Record<string, Arithmetic>> = {
  '+': { integers: (a, b) => a + b, floats: (a, b) => a + b },
  '-': { integers: (a, b) => a - b, floats: (a, b) => a - b },
  '*': { integers: (a, b) => a * b, floats: (a, b) => a * b },
  '/': { integers: divide, floats: (a, b) => a / b },
  '//': { integers: computeQuotient, floats: (a, b) => Math.floor(a / b) },
  '%': { integers: (a, b) => a - computeQuotient(a, b) * b, floats: computeModulo },
  '**': {
    integers: (a, b) => (b < 0n ? new Float(Number(a) ** Number(b)) : a ** b),
    floats: (a, b) => a ** b,
  },
}

function computeNumber(sign: string, a: unknown, b: unknown): unknown {
  const left = readNumber(a)
  const right = readNumber(b)
  const operation = arithmetic[sign]
  if (left === undefined || right === undefined || !operation) return undefined
  if (['/', '//', '%'].includes(sign) && Number(right) === 0)
    throw new TemplateError('division by zero')
  if (a instanceof Float || b instanceof Float)
    return new Float(operation.floats(Number(left), Number(right)))
  const result = operation.integers(BigInt(left), BigInt(right))
  return result instanceof Float ? result : normalizeInteger(result)
}

/** A list or text `count` times over. */
function repeatSequence(sequence: unknown, count: unknown): unknown {
  const times = readNumber(count)
  if (times === undefined || count instanceof Float) return undefined
  const length = Math.max(0, Number(times))
  if (typeof sequence === 'string') return sequence.repeat(length)
  if (!Array.isArray(sequence) || sequence instanceof View) return undefined
  const items = Array.from({ length }, () => Array.from(sequence)).flat()
  return sequence instanceof Tuple ? makeTuple(items) : items
}

function computeOther(sign: string, a: unknown, b: unknown): unknown {
  if (sign === '+' && typeof a === 'string' && typeof b === 'string') return a + b
  if (sign === '+' && Array.isArray(a) && Array.isArray(b)) {
    if (a instanceof Tuple && b instanceof Tuple) return makeTuple([...a, ...b])
    const isPlain = [a, b].every((side) => !(side instanceof Tuple || side instanceof View))
    return isPlain ? [...(a as unknown[]), ...(b as unknown[])] : undefined
  }
  if (sign === '*') return repeatSequence(a, b) ?? repeatSequence(b, a)
  if (sign === '%' && typeof a === 'string')
    return formatPercent(a, b instanceof Tuple ? b : [b], isDict(b) ? b : undefined)
  return undefined
}

/** The value of `a sign b`. Throws TemplateError if Python does. */
export function computeBinary(sign: string, a: unknown, b: unknown): unknown {
  refuseUndefined(a)
  if (!(sign === '%' && typeof a === 'string')) refuseUndefined(b)
  const result = computeNumber(sign, a, b) ?? computeOther(sign, a, b)
  if (result !== undefined) return result
  if (sign === '+' && typeof a === 'string')
    throw new TemplateError(`can only concatenate str (not "${describeType(b)}") to str`)
  throw new TemplateError(
    `unsupported operand type(s) for ${sign}: '${describeType(a)}' and '${describeType(b)}'`,
  )
}

/** `-value` or `+value`. */
export function computeSign(sign: '-' | '+', value: unknown): unknown {
  refuseUndefined(value)
  const number = readNumber(value)
  if (number === undefined)
    throw new TemplateError(`bad operand type for unary ${sign}: '${describeType(value)}'`)
  const signed = sign === '-' ? -number : number
  if (value instanceof Float) return new Float(Number(signed))
  return typeof signed === 'bigint' ? normalizeInteger(signed) : signed === 0 ? 0 : signed
}
