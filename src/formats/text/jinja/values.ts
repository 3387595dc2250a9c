// Python's values as templates see them. None is null; bool and str are JavaScript's; an int is a
// number, or a bigint where a number is not exact; a list is an array and a dict a Map.

import { ExactNumber } from '../../../base/exact-number.ts'

/** What a template does wrong, in the words of Python or Jinja. */
export class TemplateError extends Error {}

/** A Python float; a plain number is an int. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

export class Tuple extends Array<unknown> {}

/** What `groupby` makes: a tuple of two, whose items have names. */
export class Group extends Tuple {
  get grouper(): unknown {
    return this[0]
  }
  get list(): unknown {
    return this[1]
  }
}

/** The key under which a dict stores `key`: 1, 1.0 and True are one key to Python. */
export function findKey(dict: ReadonlyMap<unknown, unknown>, key: unknown): unknown {
  const plain = key instanceof Float && Number.isInteger(key.value) ? key.value : key
  if (dict.has(plain)) return plain
  if (typeof plain === 'boolean' && dict.has(Number(plain))) return Number(plain)
  return (plain === 0 || plain === 1) && dict.has(plain === 1) ? plain === 1 : plain
}

/** A list that prints as what made it, such as `range(0, 3)` or `dict_items([...])`. */
export class View extends Array<unknown> {
  shown: (items: string) => string = (items) => items
}

/** What `map`, `select` and their like give: true always, and empty after one reading. */
export class Stream {
  private items: readonly unknown[]
  constructor(items: readonly unknown[]) {
    this.items = items
  }
  take(): readonly unknown[] {
    const taken = this.items
    this.items = []
    return taken
  }
  takeFirst(): unknown {
    const [first, ...rest] = this.items
    this.items = rest
    return first
  }
}

/** What is not there: prints as nothing, and raises when more than that is asked of it. */
export class Undefined {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

export class Namespace {
  readonly values: Map<string, unknown>
  constructor(values: Map<string, unknown>) {
    this.values = values
  }
}

/** Sets a value; names that begin with an underscore are refused, as transformers does. */
export function setInNamespace(namespace: Namespace, name: string, value: unknown): void {
  if (name.startsWith('_'))
    throw new TemplateError(`a namespace has no names that begin with "_", but got "${name}"`)
  namespace.values.set(name, value)
}

export type NamedValues = ReadonlyMap<string, unknown>

/** A function, method or macro. */
export class Callable {
  readonly name: string
  readonly call: (args: readonly unknown[], named: NamedValues) => unknown
  /** Attributes, such as a macro's `name`. */
  readonly attributes: ReadonlyMap<string, unknown>
  constructor(
    name: string,
    call: (args: readonly unknown[], named: NamedValues) => unknown,
    attributes: ReadonlyMap<string, unknown> = new Map(),
  ) {
    this.name = name
    this.call = call
    this.attributes = attributes
  }
}

/** What `loop` is inside a loop. */
export class Loop {
  readonly items: readonly unknown[]
  readonly depth: number
  /** Where the loop is recursive: runs its body over other items. */
  readonly recurse: ((items: unknown) => string) | undefined
  /** The place of the current item, from 0. */
  at = 0
  /** What `loop.changed` was given last. */
  lastSeen: readonly unknown[] | undefined
  constructor(
    items: readonly unknown[],
    depth: number,
    recurse: ((items: unknown) => string) | undefined,
  ) {
    this.items = items
    this.depth = depth
    this.recurse = recurse
  }
}

export const makeTuple = (items: readonly unknown[]): Tuple => {
  const tuple = new Tuple()
  for (const item of items) tuple.push(item)
  return tuple
}

export const makeView = (items: readonly unknown[], shown: View['shown']): View => {
  const view = new View()
  for (const item of items) view.push(item)
  view.shown = shown
  return view
}

/** An int as a number where that is exact. */
export const normalizeInteger = (value: bigint): number | bigint =>
  value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value

export const isInteger = (value: unknown): value is number | bigint =>
  typeof value === 'number' || typeof value === 'bigint'

export const isDict = (value: unknown): value is Map<unknown, unknown> => value instanceof Map

/** Python's name of the type, for messages. */
export function describeType(value: unknown): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'string') return 'str'
  if (typeof value === 'boolean') return 'bool'
  if (isInteger(value)) return 'int'
  const named = typeNames.find(([type]) => value instanceof type)
  return named ? named[1] : 'object'
}

const typeNames: readonly (readonly [new (...args: never[]) => object, string])[] = [
  [Float, 'float'],
  [Tuple, 'tuple'],
  [View, 'view'],
  [Array, 'list'],
  [Map, 'dict'],
  [Stream, 'generator'],
  [Undefined, 'Undefined'],
  [Namespace, 'Namespace'],
  [Callable, 'function'],
  [Loop, 'LoopContext'],
]

/** Throws the error that using an undefined value as more than nothing raises. */
export function refuseUndefined(value: unknown): void {
  if (value instanceof Undefined) throw new TemplateError(value.reason)
}

/** A JavaScript value as a template sees it: objects are dicts, functions take positions only. */
export function toTemplateValue(value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'number') return Number.isInteger(value) ? value : new Float(value)
  if (value instanceof ExactNumber)
    return /^-?\d+$/.test(value.text)
      ? normalizeInteger(BigInt(value.text))
      : new Float(Number(value.text))
  if (Array.isArray(value)) return value.map(toTemplateValue)
  if (typeof value === 'function')
    return new Callable(value.name, (args) => toTemplateValue(value(...args)))
  if (typeof value !== 'object' || value instanceof Callable) return value
  return new Map(
    Object.entries(value).flatMap(([key, item]) =>
      item === undefined ? [] : [[key, toTemplateValue(item)]],
    ),
  )
}

/** Whether Python takes the value for true. */
export function isTrue(value: unknown): boolean {
  if (value instanceof Float) return value.value !== 0
  if (Array.isArray(value)) return value.length > 0
  if (isDict(value)) return value.size > 0
  if (value instanceof Undefined) return false
  return Boolean(value)
}

/** The items that a loop over the value sees. Throws TemplateError if there are none. */
export function listItems(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (isDict(value)) return [...value.keys()]
  if (typeof value === 'string') return Array.from(value)
  if (value instanceof Stream) return value.take()
  if (value instanceof Undefined) return []
  throw new TemplateError(`'${describeType(value)}' object is not iterable`)
}
