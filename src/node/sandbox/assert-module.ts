// The module 'assert' that programs in the sandbox import, as JavaScript. The part of Node's module
// that tests of generated code use; deepEqual compares with ==, as Node's legacy mode does.

export const assertModule = `
// Taken before the program runs, so that a program that replaces them does not change its tests.
const { is, keys, hasOwn, getPrototypeOf, prototype: { toString } } = Object
const { isArray } = Array, { stringify } = JSON, call = Function.prototype.call.bind(Function.prototype.call)
const show = (value) => { try { return stringify(value) ?? String(value) } catch { return String(value) } }
export class AssertionError extends Error {
  constructor(message) { super(message); this.name = 'AssertionError' }
}
const fail_ = (message, text) => { throw message instanceof Error ? message : new AssertionError(message ?? text) }
const tagOf = (value) => call(toString, value)
const equals = (a, b, strict, seen = []) => {
  if (strict ? is(a, b) : a == b || (a !== a && b !== b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (tagOf(a) !== tagOf(b) || isArray(a) !== isArray(b)) return false
  if (strict && getPrototypeOf(a) !== getPrototypeOf(b)) return false
  if (a instanceof Date || a instanceof RegExp) return String(a) === String(b) && +a === +b
  if (seen.some(([left, right]) => left === a && right === b)) return true
  const next = [...seen, [a, b]]
  if (a instanceof Set) return a.size === b.size && [...a].every((x) => b.has(x) || [...b].some((y) => equals(x, y, strict, next)))
  if (a instanceof Map) return a.size === b.size && [...a].every(([key, x]) => b.has(key) && equals(x, b.get(key), strict, next))
  const left = keys(a), right = keys(b)
  return left.length === right.length && left.every((key) => hasOwn(b, key) && equals(a[key], b[key], strict, next))
}
export const ok = (value, message) => { if (!value) fail_(message, show(value) + ' is not true') }
const assert = (value, message) => ok(value, message)
export const fail = (message) => fail_(message, 'failed')
export const equal = (a, b, message) => { if (!(a == b || (a !== a && b !== b))) fail_(message, show(a) + ' == ' + show(b)) }
export const notEqual = (a, b, message) => { if (a == b) fail_(message, show(a) + ' != ' + show(b)) }
export const strictEqual = (a, b, message) => { if (!is(a, b)) fail_(message, show(a) + ' === ' + show(b)) }
export const notStrictEqual = (a, b, message) => { if (is(a, b)) fail_(message, show(a) + ' !== ' + show(b)) }
export const deepEqual = (a, b, message) => { if (!equals(a, b, false)) fail_(message, show(a) + ' deepEqual ' + show(b)) }
export const deepStrictEqual = (a, b, message) => { if (!equals(a, b, true)) fail_(message, show(a) + ' deepStrictEqual ' + show(b)) }
export const notDeepEqual = (a, b, message) => { if (equals(a, b, false)) fail_(message, show(a) + ' notDeepEqual ' + show(b)) }
export const notDeepStrictEqual = (a, b, message) => { if (equals(a, b, true)) fail_(message, show(a) + ' notDeepStrictEqual ' + show(b)) }
const matches = (error, wanted) =>
  wanted === undefined || typeof wanted === 'string' ? true
  : wanted instanceof RegExp ? wanted.test(String(error))
  : typeof wanted === 'function' ? (wanted.prototype !== undefined && error instanceof wanted) || (!(wanted.prototype instanceof Error) && wanted !== Error && wanted(error) === true)
  : keys(wanted).every((key) => wanted[key] instanceof RegExp ? wanted[key].test(String(error[key])) : equals(error[key], wanted[key], true))
export const throws = (work, wanted, message) => {
  let thrown
  try { work() } catch (error) { thrown = { error } }
  if (!thrown) fail_(typeof wanted === 'string' ? wanted : message, 'nothing was thrown')
  if (!matches(thrown.error, wanted)) throw thrown.error
}
export const doesNotThrow = (work) => void work()
export const match = (text, pattern, message) => { if (!pattern.test(text)) fail_(message, show(text) + ' does not match ' + pattern) }
export const doesNotMatch = (text, pattern, message) => { if (pattern.test(text)) fail_(message, show(text) + ' matches ' + pattern) }
Object.assign(assert, { ok, fail, equal, notEqual, strictEqual, notStrictEqual, deepEqual, deepStrictEqual, notDeepEqual, notDeepStrictEqual, throws, doesNotThrow, match, doesNotMatch, AssertionError, strict: assert })
export const strict = assert
export default assert
`
