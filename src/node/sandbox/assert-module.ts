// The module 'assert' that programs in the sandbox import, as JavaScript. The part of Node's module
// that tests of generated code use; deepEqual compares with ==, as Node's legacy mode does.

export const assertModule = `
// Everything is taken before the program runs, and no method or iterator of a value is called, so
// that a program that replaces built-ins or its assert does not change its tests.
const { is, keys, hasOwn, freeze, getPrototypeOf, getOwnPropertyDescriptor, prototype: { toString, isPrototypeOf } } = Object
const { isArray } = Array, { stringify } = JSON, toText = String
const call = Function.prototype.call.bind(Function.prototype.call)
const getterOf = (type, name) => getOwnPropertyDescriptor(type.prototype, name).get
const { getTime } = Date.prototype, { exec } = RegExp.prototype
const { has: setHas, forEach: forEachOfSet } = Set.prototype
const { has: mapHas, get: mapGet, forEach: forEachOfMap } = Map.prototype
const sizeOfSet = getterOf(Set, 'size'), sizeOfMap = getterOf(Map, 'size'), sourceOf = getterOf(RegExp, 'source')
const flagsOf = ['global', 'ignoreCase', 'multiline', 'dotAll', 'unicode', 'sticky'].map((name) => getterOf(RegExp, name))
const read = (getter, value) => { try { return call(getter, value) } catch { return undefined } }
const show = (value) => { try { return stringify(value) ?? toText(value) } catch { return toText(value) } }
export class AssertionError extends Error {
  constructor(message) { super(message); this.name = 'AssertionError' }
}
const isError = (value) => call(isPrototypeOf, errorPrototype, value), errorPrototype = Error.prototype
const fail_ = (message, text) => { throw isError(message) ? message : new AssertionError(message ?? text) }
const tagOf = (value) => call(toString, value)
const isSeen = (seen, a, b) => { for (let pair = seen; pair; pair = pair.before) if (pair.a === a && pair.b === b) return true; return false }
const every = (forEach, all, test) => { let isSo = true; call(forEach, all, (value, key) => { isSo = isSo && test(value, key) }); return isSo }
const equalSets = (a, b, strict, seen) =>
  every(forEachOfSet, a, (x) => call(setHas, b, x) || !every(forEachOfSet, b, (y) => !equals(x, y, strict, seen)))
const equalMaps = (a, b, strict, seen) =>
  every(forEachOfMap, a, (x, key) => call(mapHas, b, key) && equals(x, call(mapGet, b, key), strict, seen))
const equalPatterns = (a, b) => {
  if (call(sourceOf, a) !== call(sourceOf, b)) return false
  for (let i = 0; i < flagsOf.length; i++) if (call(flagsOf[i], a) !== call(flagsOf[i], b)) return false
  return true
}
const equals = (a, b, strict, before) => {
  if (strict ? is(a, b) : a == b || (a !== a && b !== b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (tagOf(a) !== tagOf(b) || isArray(a) !== isArray(b)) return false
  if (strict && getPrototypeOf(a) !== getPrototypeOf(b)) return false
  const time = read(getTime, b), source = read(sourceOf, b)
  if (time !== undefined) return is(time, read(getTime, a))
  if (source !== undefined) return read(sourceOf, a) !== undefined && equalPatterns(a, b)
  if (isSeen(before, a, b)) return true
  const seen = { a, b, before }
  const sets = read(sizeOfSet, b), maps = read(sizeOfMap, b)
  if (sets !== read(sizeOfSet, a) || maps !== read(sizeOfMap, a)) return false
  if (sets !== undefined) return equalSets(a, b, strict, seen)
  if (maps !== undefined) return equalMaps(a, b, strict, seen)
  const left = keys(a), right = keys(b)
  if (left.length !== right.length) return false
  for (let i = 0; i < left.length; i++)
    if (!hasOwn(b, left[i]) || !equals(a[left[i]], b[left[i]], strict, seen)) return false
  return true
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
const finds = (pattern, text) => call(exec, pattern, text) !== null
const isOf = (type, value) => type.prototype !== undefined && call(isPrototypeOf, type.prototype, value)
const hasFields = (error, wanted) => {
  const names = keys(wanted)
  for (let i = 0; i < names.length; i++) {
    const field = wanted[names[i]], found = error[names[i]]
    if (!(read(sourceOf, field) === undefined ? equals(found, field, true) : finds(field, toText(found)))) return false
  }
  return true
}
const matches = (error, wanted) =>
  wanted === undefined || typeof wanted === 'string' ? true
  : typeof wanted === 'function' ? isOf(wanted, error) || (!isError(wanted.prototype) && wanted.prototype !== errorPrototype && wanted(error) === true)
  : read(sourceOf, wanted) === undefined ? hasFields(error, wanted) : finds(wanted, toText(error))
export const throws = (work, wanted, message) => {
  let thrown
  try { work() } catch (error) { thrown = { error } }
  if (!thrown) fail_(typeof wanted === 'string' ? wanted : message, 'nothing was thrown')
  if (!matches(thrown.error, wanted)) throw thrown.error
}
export const doesNotThrow = (work) => void work()
export const match = (text, pattern, message) => { if (!finds(pattern, text)) fail_(message, show(text) + ' does not match ' + pattern) }
export const doesNotMatch = (text, pattern, message) => { if (finds(pattern, text)) fail_(message, show(text) + ' matches ' + pattern) }
Object.assign(assert, { ok, fail, equal, notEqual, strictEqual, notStrictEqual, deepEqual, deepStrictEqual, notDeepEqual, notDeepStrictEqual, throws, doesNotThrow, match, doesNotMatch, AssertionError, strict: assert })
freeze(assert)
export const strict = assert
export default assert
`
