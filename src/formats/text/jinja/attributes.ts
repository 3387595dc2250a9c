// `value.name`, `value[key]` and slices: Jinja looks for methods first after a dot, for items
// first in brackets.

import { bindArguments } from './arguments.ts'
import { isEqual } from './operators.ts'
import { toRepr } from './show.ts'
import { stringMethods } from './string-methods.ts'
import {
  Callable,
  describeType,
  findKey,
  Group,
  isDict,
  listItems,
  Loop,
  makeTuple,
  makeView,
  type NamedValues,
  Namespace,
  refuseUndefined,
  TemplateError,
  Tuple,
  Undefined,
} from './values.ts'

type MethodOf<Value> = (value: Value, args: readonly unknown[], named: NamedValues) => unknown

const dictMethods: Readonly<Record<string, MethodOf<Map<unknown, unknown>>>> = {
  get: (dict, args, named) => {
    const [key, standard = null] = bindArguments('get', ['key', 'default'], args, named)
    const held = findKey(dict, key)
    return dict.has(held) ? dict.get(held) : standard
  },
  items: (dict) => makeView(Array.from(dict, makeTuple), (items) => `dict_items(${items})`),
  keys: (dict) => makeView([...dict.keys()], (items) => `dict_keys(${items})`),
  values: (dict) => makeView([...dict.values()], (items) => `dict_values(${items})`),
  copy: (dict) => new Map(dict),
}

const listMethods: Readonly<Record<string, MethodOf<readonly unknown[]>>> = {
  index: (list, args, named) => {
    const [wanted] = bindArguments('index', ['value'], args, named)
    const at = list.findIndex((item) => isEqual(item, wanted))
    if (at < 0) throw new TemplateError(`${toRepr(wanted)} is not in list`)
    return at
  },
  count: (list, args, named) => {
    const [wanted] = bindArguments('count', ['value'], args, named)
    return list.filter((item) => isEqual(item, wanted)).length
  },
  copy: (list) => [...list],
}

/** Methods that change a value, which transformers' sandbox refuses. */
const refusedMethods: Readonly<Record<string, readonly string[]>> = {
  list: ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
}

const loopAttributes: Readonly<Record<string, (loop: Loop) => unknown>> = {
  index: ({ at }) => at + 1,
  index0: ({ at }) => at,
  revindex: ({ at, items }) => items.length - at,
  revindex0: ({ at, items }) => items.length - at - 1,
  first: ({ at }) => at === 0,
  last: ({ at, items }) => at === items.length - 1,
  length: ({ items }) => items.length,
  depth: ({ depth }) => depth + 1,
  depth0: ({ depth }) => depth,
  previtem: ({ at, items }) =>
    at > 0 ? items[at - 1] : new Undefined('there is no previous item'),
  nextitem: ({ at, items }) =>
    at < items.length - 1 ? items[at + 1] : new Undefined('there is no next item'),
  cycle: (loop) =>
    new Callable('cycle', (args) => {
      if (args.length === 0) throw new TemplateError('no items for cycling given')
      return args[loop.at % args.length]
    }),
  changed: (loop) =>
    new Callable('changed', (args) => {
      const isSame = loop.lastSeen !== undefined && isEqual([...loop.lastSeen], [...args])
      loop.lastSeen = args
      return !isSame
    }),
}

/** A method bound to its value, an attribute, or undefined if there is none. */
function findOwn(value: unknown, name: string): unknown {
  const bind = <Value>(methods: Readonly<Record<string, MethodOf<Value>>>, of: Value): unknown =>
    Object.hasOwn(methods, name)
      ? new Callable(name, (args, named) => methods[name]!(of, args, named))
      : undefined
  if (typeof value === 'string') return bind(stringMethods, value)
  if (isDict(value)) return bind(dictMethods, value)
  if (value instanceof Group && (name === 'grouper' || name === 'list')) return value[name]
  if (Array.isArray(value)) return bind(listMethods, value)
  if (value instanceof Namespace) return value.values.get(name)
  if (value instanceof Callable) return value.attributes.get(name)
  return value instanceof Loop && Object.hasOwn(loopAttributes, name)
    ? loopAttributes[name]!(value)
    : undefined
}

const describeObject = (value: unknown): string =>
  value === null ? 'None' : `${describeType(value)} object`

function describeMissing(value: unknown, key: unknown): Undefined {
  const type = describeType(value)
  if (typeof key === 'string' && refusedMethods[type]?.includes(key))
    return new Undefined(`access to attribute '${key}' of '${type}' object is unsafe.`)
  return new Undefined(
    typeof key === 'string'
      ? `'${describeObject(value)}' has no attribute '${key}'`
      : `${describeObject(value)} has no element ${toRepr(key)}`,
  )
}

/** `value.name`: a method or attribute, else the item of that name. */
export function getAttribute(value: unknown, name: string): unknown {
  refuseUndefined(value)
  const own = findOwn(value, name)
  if (own !== undefined) return own
  if (refusedMethods[describeType(value)]?.includes(name)) return describeMissing(value, name)
  return isDict(value) && value.has(name) ? value.get(name) : describeMissing(value, name)
}

const toIndex = (key: unknown): number | undefined =>
  typeof key === 'number' || typeof key === 'boolean' ? Number(key) : undefined

/** `value[key]`: the item, else the method or attribute of that name. */
export function getItem(value: unknown, key: unknown): unknown {
  refuseUndefined(value)
  if (isDict(value)) {
    const held = findKey(value, key)
    if (value.has(held)) return value.get(held)
  }
  const index = toIndex(key)
  if (index !== undefined && (typeof value === 'string' || Array.isArray(value))) {
    const items = listItems(value)
    const at = index < 0 ? items.length + index : index
    return at >= 0 && at < items.length ? items[at] : describeMissing(value, key)
  }
  const own = typeof key === 'string' ? findOwn(value, key) : undefined
  return own ?? describeMissing(value, key)
}

/** The attribute that filters are given: parts with dots, digits for places. */
export function getPath(value: unknown, path: unknown): unknown {
  if (typeof path !== 'string') return getItem(value, path)
  return path
    .split('.')
    .reduce<unknown>((part, key) => getItem(part, /^\d+$/.test(key) ? Number(key) : key), value)
}

/** `value[start:stop:step]`. Throws TemplateError for what has no slices. */
export function getSlice(value: unknown, bounds: readonly unknown[]): unknown {
  refuseUndefined(value)
  if (typeof value !== 'string' && !Array.isArray(value))
    throw new TemplateError(`'${describeType(value)}' object is not subscriptable`)
  const items = listItems(value)
  const [start, stop, step] = bounds.map(readBound)
  const picked = listPlaces(items.length, start, stop, step).map((at) => items[at])
  if (typeof value === 'string') return picked.join('')
  return value instanceof Tuple ? makeTuple(picked) : picked
}

function readBound(bound: unknown): number | undefined {
  if (bound === undefined || bound === null) return undefined
  const at = toIndex(bound)
  if (at === undefined)
    throw new TemplateError('slice indices must be integers or None or have an __index__ method')
  return at
}

/** The places that Python's slice picks. */
function listPlaces(length: number, start?: number, stop?: number, step = 1): number[] {
  if (step === 0) throw new TemplateError('slice step cannot be zero')
  const low = step > 0 ? 0 : -1
  const high = step > 0 ? length : length - 1
  const clamp = (at: number): number => Math.min(high, Math.max(low, at < 0 ? at + length : at))
  const from = start === undefined ? (step > 0 ? low : high) : clamp(start)
  const to = stop === undefined ? (step > 0 ? high : low) : clamp(stop)
  const count = Math.max(0, Math.ceil((to - from) / step))
  return Array.from({ length: count }, (_, i) => from + i * step)
}
