// Jinja's filters on lists and dicts, and the table of all filters.

import { bindArguments, readInteger, readLoosely } from './arguments.ts'
import { getPath } from './attributes.ts'
import { compareValues, computeBinary, isEqual } from './operators.ts'
import { toText } from './show.ts'
import { applyTest } from './test-table.ts'
import { type Filter, textFilters } from './text-filters.ts'
import {
  describeType,
  Group,
  isDict,
  isTrue,
  listItems,
  makeTuple,
  type NamedValues,
  Stream,
  TemplateError,
  type Tuple,
  Undefined,
} from './values.ts'

/** A string in lower case, for case-insensitive orders. */
const foldCase = (value: unknown, isSensitive: unknown): unknown =>
  typeof value === 'string' && !isTrue(isSensitive) ? value.toLowerCase() : value

const readPath = (value: unknown, attribute: unknown): unknown =>
  attribute === undefined || attribute === null ? value : getPath(value, attribute)

/** The values that items are ordered by; attributes may be several, with commas. */
const readKeys = (item: unknown, attribute: unknown, isSensitive: unknown): unknown[] => {
  const paths = typeof attribute === 'string' ? attribute.split(',') : [attribute]
  return paths.map((path) => foldCase(readPath(item, path), isSensitive))
}

const sortBy = (
  items: readonly unknown[],
  readKey: (item: unknown) => unknown,
  isReversed: unknown,
): unknown[] => {
  const direction = isTrue(isReversed) ? -1 : 1
  return items
    .map((item) => [item, readKey(item)] as const)
    .sort(([, a], [, b]) => direction * compareValues(a, b))
    .map(([item]) => item)
}

const sortItems: Filter = (value, args, named) => {
  const [isReversed, isSensitive, attribute] = bindArguments(
    'sort',
    ['reverse', 'case_sensitive', 'attribute'],
    args,
    named,
  )
  return sortBy(listItems(value), (item) => readKeys(item, attribute, isSensitive), isReversed)
}

const sortDict: Filter = (value, args, named) => {
  const [isSensitive, by = 'key', isReversed] = bindArguments(
    'dictsort',
    ['case_sensitive', 'by', 'reverse'],
    args,
    named,
  )
  if (!isDict(value)) throw new TemplateError(`'${describeType(value)}' object has no items()`)
  if (by !== 'key' && by !== 'value')
    throw new TemplateError('You can only sort by either "key" or "value"')
  const place = by === 'key' ? 0 : 1
  return sortBy(
    Array.from(value, makeTuple),
    (pair) => foldCase((pair as Tuple)[place], isSensitive),
    isReversed,
  )
}

const findUnique: Filter = (value, args, named) => {
  const [isSensitive, attribute] = bindArguments(
    'unique',
    ['case_sensitive', 'attribute'],
    args,
    named,
  )
  const seen: unknown[] = []
  return new Stream(
    listItems(value).filter((item) => {
      const key = foldCase(readPath(item, attribute), isSensitive)
      if (seen.some((other) => isEqual(other, key))) return false
      seen.push(key)
      return true
    }),
  )
}

const findExtreme =
  (direction: 1 | -1): Filter =>
  (value, args, named) => {
    const [isSensitive, attribute] = bindArguments(
      'min',
      ['case_sensitive', 'attribute'],
      args,
      named,
    )
    const readKey = (item: unknown): unknown => foldCase(readPath(item, attribute), isSensitive)
    const items = listItems(value)
    if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.')
    return items.reduce((best, item) =>
      direction * compareValues(readKey(item), readKey(best)) < 0 ? item : best,
    )
  }

const groupItems: Filter = (value, args, named) => {
  const [attribute, standard, isSensitive] = bindArguments(
    'groupby',
    ['attribute', 'default', 'case_sensitive'],
    args,
    named,
  )
  const readKey = (item: unknown): unknown => {
    const found = readPath(item, attribute)
    return found instanceof Undefined && standard !== undefined ? standard : found
  }
  const readFolded = (item: unknown): unknown => foldCase(readKey(item), isSensitive)
  const groups: unknown[][] = []
  for (const item of sortBy(listItems(value), readFolded, false)) {
    const last = groups.at(-1)
    if (last && isEqual(readFolded(last[0]), readFolded(item))) last.push(item)
    else groups.push([item])
  }
  return groups.map((items) => {
    const group = new Group()
    group.push(readKey(items[0]), items)
    return group
  })
}

const joinItems: Filter = (value, args, named) => {
  const [separator, attribute] = bindArguments('join', ['d', 'attribute'], args, named)
  return listItems(value)
    .map((item) => toText(readPath(item, attribute)))
    .join(readLoosely(separator))
}

const sumItems: Filter = (value, args, named) => {
  const [attribute, start = 0] = bindArguments('sum', ['attribute', 'start'], args, named)
  return listItems(value).reduce(
    (sum, item) => computeBinary('+', sum, readPath(item, attribute)),
    start,
  )
}

const splitToBatches: Filter = (value, args, named) => {
  const [count, fill] = bindArguments('batch', ['linecount', 'fill_with'], args, named)
  const size = readInteger('batch', count, 1)
  const items = listItems(value)
  const rows = Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
  const isFilled = fill !== undefined && fill !== null
  return new Stream(
    rows.map((row) =>
      isFilled ? [...row, ...Array.from({ length: size - row.length }, () => fill)] : row,
    ),
  )
}

const takeEnd =
  (name: 'first' | 'last'): Filter =>
  (value) => {
    if (value instanceof Stream && name === 'first')
      return value.takeFirst() ?? new Undefined('No first item, sequence was empty.')
    if (value instanceof Stream) throw new TemplateError("'generator' object is not reversible")
    const items = listItems(value)
    return items.length === 0
      ? new Undefined(`No ${name} item, sequence was empty.`)
      : items[name === 'first' ? 0 : items.length - 1]
  }

const reverseItems: Filter = (value) =>
  typeof value === 'string'
    ? Array.from(value).reverse().join('')
    : new Stream([...listItems(value)].reverse())

const listPairs: Filter = (value) => {
  if (value instanceof Undefined) return new Stream([])
  if (!isDict(value)) throw new TemplateError('Can only get item pairs from a mapping.')
  return new Stream(Array.from(value, makeTuple))
}

/** `map`: an attribute of each item, or a filter applied to each. */
const mapItems: Filter = (value, args, named) => {
  const items = listItems(value)
  if (args.length === 0 && named.has('attribute')) {
    const path = named.get('attribute')
    const standard = named.get('default')
    return new Stream(
      items.map((item) => {
        const found = getPath(item, path)
        return found instanceof Undefined && standard !== undefined ? standard : found
      }),
    )
  }
  const [name, ...rest] = args
  if (name === undefined) throw new TemplateError('map requires a filter argument')
  return new Stream(items.map((item) => applyFilter(toText(name), item, rest, named)))
}

/** `select` and its like: the items for which a test, or being true, is as wanted. */
const selectItems =
  (isWanted: boolean, hasAttribute: boolean): Filter =>
  (value, args) => {
    const [attribute, ...afterAttribute] = args
    const [test, ...rest] = hasAttribute ? afterAttribute : args
    if (hasAttribute && attribute === undefined)
      throw new TemplateError('Missing parameter for attribute name')
    const isChosen = (item: unknown): boolean => {
      const judged = hasAttribute ? getPath(item, attribute) : item
      return test === undefined ? isTrue(judged) : applyTest(toText(test), judged, rest)
    }
    return new Stream(listItems(value).filter((item) => isChosen(item) === isWanted))
  }

const filters: Readonly<Record<string, Filter>> = Object.assign(Object.create(null), textFilters, {
  list: (value: unknown) => [...listItems(value)],
  join: joinItems,
  first: takeEnd('first'),
  last: takeEnd('last'),
  reverse: reverseItems,
  sort: sortItems,
  dictsort: sortDict,
  items: listPairs,
  unique: findUnique,
  min: findExtreme(1),
  max: findExtreme(-1),
  sum: sumItems,
  groupby: groupItems,
  batch: splitToBatches,
  map: mapItems,
  select: selectItems(true, false),
  reject: selectItems(false, false),
  selectattr: selectItems(true, true),
  rejectattr: selectItems(false, true),
}) as Readonly<Record<string, Filter>>

/** `value | name(args)`. */
export function applyFilter(
  name: string,
  value: unknown,
  args: readonly unknown[],
  named: NamedValues,
): unknown {
  const filter = filters[name]
  if (!filter) throw new TemplateError(`No filter named '${name}'.`)
  return filter(value, args, named)
}
