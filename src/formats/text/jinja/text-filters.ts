// Jinja's filters on text and numbers, with `tojson` as transformers defines it.

import { bindArguments, readInteger, readLoosely, readText } from './arguments.ts'
import { getAttribute } from './attributes.ts'
import { formatFixed, formatPercent } from './format-text.ts'
import { toJsonText, toText } from './show.ts'
import { writeCapitalized, padText, replaceText, splitLines, stripText } from './string-methods.ts'
import {
  describeType,
  Float,
  isDict,
  isInteger,
  isTrue,
  listItems,
  type NamedValues,
  normalizeInteger,
  refuseUndefined,
  TemplateError,
  Undefined,
} from './values.ts'

export type Filter = (value: unknown, args: readonly unknown[], named: NamedValues) => unknown

const takeText =
  (change: (text: string) => unknown): Filter =>
  (value, args, named) => {
    bindArguments('filter', [], args, named)
    return change(toText(value))
  }

const writeAsTitle = (text: string): string =>
  text
    .split(/([-\s({[<]+)/)
    .map((part) => {
      const [first = '', ...rest] = Array.from(part)
      return first.toUpperCase() + rest.join('').toLowerCase()
    })
    .join('')

const escapedSigns: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
}
const escapeHtml = takeText((text) => text.replace(/[&<>"']/g, (sign) => escapedSigns[sign]!))

/** Every line but the first, unless `first`, begins with `width`; empty lines only with `blank`. */
const indentLines: Filter = (value, args, named) => {
  const [width = 4, first, blank] = bindArguments(
    'indent',
    ['width', 'first', 'blank'],
    args,
    named,
  )
  const indent = typeof width === 'string' ? width : ' '.repeat(readInteger('indent', width, 4))
  const lines = splitLines(`${readText('indent', value)}\n`)
  return lines
    .map((line, i) =>
      (i === 0 ? isTrue(first) : line !== '' || isTrue(blank)) ? indent + line : line,
    )
    .join('\n')
}

/** `json.dumps`; non-ASCII characters are escaped only with `ensure_ascii`. */
const toJson: Filter = (value, args, named) => {
  const [isAscii, indent, separators, sortsKeys] = bindArguments(
    'tojson',
    ['ensure_ascii', 'indent', 'separators', 'sort_keys'],
    args,
    named,
  )
  const pair = separators === undefined || separators === null ? undefined : listItems(separators)
  return toJsonText(value, {
    isAscii: isTrue(isAscii),
    sortsKeys: isTrue(sortsKeys),
    indent:
      indent === undefined || indent === null
        ? undefined
        : typeof indent === 'string'
          ? indent
          : ' '.repeat(readInteger('tojson', indent, 0)),
    separators: pair && [readText('tojson', pair[0]), readText('tojson', pair[1])],
  })
}

function parseInteger(text: string, base: number): number | bigint | undefined {
  const digits = text.trim().replace(/(?<=\w)_(?=\w)/g, '')
  if (base === 10 && /^[-+]?\d+$/.test(digits)) return normalizeInteger(BigInt(digits))
  const parsed = parseInt(digits, base)
  return base === 10 || Number.isNaN(parsed) ? undefined : parsed
}

const parseFloatText = (text: string): number | undefined => {
  const digits = text.trim().replace(/(?<=\d)_(?=\d)/g, '')
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(digits)) return Number(digits)
  if (/^[-+]?inf(?:inity)?$/i.test(digits)) return digits.startsWith('-') ? -Infinity : Infinity
  return /^[-+]?nan$/i.test(digits) ? NaN : undefined
}

const toInteger: Filter = (value, args, named) => {
  const [standard = 0, base] = bindArguments('int', ['default', 'base'], args, named)
  refuseUndefined(value)
  if (typeof value === 'boolean') return Number(value)
  if (isInteger(value)) return value
  if (typeof value === 'string') {
    const parsed = parseInteger(value, readInteger('int', base, 10))
    if (parsed !== undefined) return parsed
  }
  const number = value instanceof Float ? value.value : parseFloatText(toText(value))
  return number === undefined || !Number.isFinite(number)
    ? standard
    : normalizeInteger(BigInt(Math.trunc(number)))
}

const toFloat: Filter = (value, args, named) => {
  const [standard = new Float(0)] = bindArguments('float', ['default'], args, named)
  refuseUndefined(value)
  if (value instanceof Float) return value
  if (isInteger(value) || typeof value === 'boolean') return new Float(Number(value))
  const parsed = typeof value === 'string' ? parseFloatText(value) : undefined
  return parsed === undefined ? standard : new Float(parsed)
}

/** Python's round: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const low = Math.floor(value)
  const rest = value - low
  return rest === 0.5 ? (low % 2 === 0 ? low : low + 1) : Math.round(value)
}

const roundNumber: Filter = (value, args, named) => {
  const [precision, method = 'common'] = bindArguments(
    'round',
    ['precision', 'method'],
    args,
    named,
  )
  refuseUndefined(value)
  const places = readInteger('round', precision, 0)
  if (isInteger(value) && method === 'common') return value
  if (!isInteger(value) && !(value instanceof Float))
    throw new TemplateError(`type ${describeType(value)} doesn't define __round__ method`)
  const number = value instanceof Float ? value.value : Number(value)
  const scale = 10 ** places
  if (method === 'ceil') return new Float(Math.ceil(number * scale) / scale)
  if (method === 'floor') return new Float(Math.floor(number * scale) / scale)
  return new Float(
    places > 0 ? Number(formatFixed(number, places)) : roundHalfEven(number * scale) / scale,
  )
}

const countItems: Filter = (value) => {
  if (typeof value === 'string') return Array.from(value).length
  if (Array.isArray(value)) return value.length
  if (isDict(value)) return value.size
  if (value instanceof Undefined) return 0
  throw new TemplateError(`object of type '${describeType(value)}' has no len()`)
}

const truncateText: Filter = (value, args, named) => {
  const [length, kill, end = '...', leeway] = bindArguments(
    'truncate',
    ['length', 'killwords', 'end', 'leeway'],
    args,
    named,
  )
  const signs = Array.from(readText('truncate', value))
  const limit = readInteger('truncate', length, 255)
  const mark = readText('truncate', end)
  if (signs.length <= limit + readInteger('truncate', leeway, 5)) return value
  const cut = signs.slice(0, limit - mark.length).join('')
  if (isTrue(kill)) return cut + mark
  return (cut.includes(' ') ? cut.slice(0, cut.lastIndexOf(' ')) : cut) + mark
}

const fillDefault: Filter = (value, args, named) => {
  const [standard = '', boolean] = bindArguments(
    'default',
    ['default_value', 'boolean'],
    args,
    named,
  )
  return value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? standard : value
}

const computeAbsolute: Filter = (value) => {
  refuseUndefined(value)
  if (value instanceof Float) return new Float(Math.abs(value.value))
  if (typeof value === 'boolean') return Number(value)
  if (isInteger(value)) return value < 0 ? -value : value
  throw new TemplateError(`bad operand type for abs(): '${describeType(value)}'`)
}

export const textFilters: Readonly<Record<string, Filter>> = {
  upper: takeText((text) => text.toUpperCase()),
  lower: takeText((text) => text.toLowerCase()),
  capitalize: takeText(writeCapitalized),
  title: takeText(writeAsTitle),
  string: takeText((text) => text),
  safe: takeText((text) => text),
  escape: escapeHtml,
  e: escapeHtml,
  forceescape: escapeHtml,
  trim: (value, args, named) =>
    stripText(toText(value), bindArguments('trim', ['chars'], args, named)[0], 'both'),
  replace: (value, args, named) => {
    const [old, by, count] = bindArguments('replace', ['old', 'new', 'count'], args, named)
    return replaceText(
      toText(value),
      readLoosely(old),
      readLoosely(by),
      readInteger('replace', count, -1),
    )
  },
  center: (value, args, named) => {
    const [width] = bindArguments('center', ['width'], args, named)
    return padText(toText(value), readInteger('center', width, 80), ' ', 'both')
  },
  format: (value, args, named) =>
    formatPercent(toText(value), args, named.size > 0 ? named : undefined),
  wordcount: takeText((text) => (text.match(/[\p{L}\p{N}_]+/gu) ?? []).length),
  truncate: truncateText,
  indent: indentLines,
  tojson: toJson,
  int: toInteger,
  float: toFloat,
  round: roundNumber,
  abs: computeAbsolute,
  length: countItems,
  count: countItems,
  default: fillDefault,
  d: fillDefault,
  attr: (value, args, named) => {
    const [name] = bindArguments('attr', ['name'], args, named)
    return isDict(value)
      ? new Undefined(`'dict object' has no attribute '${toText(name)}'`)
      : getAttribute(value, toText(name))
  },
}
