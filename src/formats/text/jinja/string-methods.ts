// The methods of Python's str.

import { bindArguments, readInteger, readText } from './arguments.ts'
import { formatBraces } from './format-text.ts'
import { makeTuple, type NamedValues, listItems, TemplateError, Tuple } from './values.ts'

type Method = (text: string, args: readonly unknown[], named: NamedValues) => unknown

const whitespace =
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'
const whitespaceRun = new RegExp(`[${whitespace}]+`, 'u')

/** `strip`, of the signs in `chars` or of white space. */
export function stripText(text: string, chars: unknown, side: 'both' | 'start' | 'end'): string {
  const set = new Set(
    chars === undefined || chars === null ? whitespace : Array.from(readText('strip', chars)),
  )
  const signs = Array.from(text)
  let start = 0
  let end = signs.length
  if (side !== 'end') while (start < end && set.has(signs[start]!)) start++
  if (side !== 'start') while (end > start && set.has(signs[end - 1]!)) end--
  return signs.slice(start, end).join('')
}

const lineEnds = '\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029'
const lineEnd = new RegExp(`\r\n|[${lineEnds}]`, 'g')

/** `splitlines`: no empty line after the last line end. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = []
  let from = 0
  for (const { index, 0: end } of text.matchAll(lineEnd)) {
    lines.push(text.slice(from, keepEnds ? index + end.length : index))
    from = index + end.length
  }
  return from < text.length ? [...lines, text.slice(from)] : lines
}

/** `capitalize`: the first sign large, all others small. */
export const writeCapitalized = (text: string): string => {
  const [first = '', ...rest] = Array.from(text)
  return first.toUpperCase() + rest.join('').toLowerCase()
}

const writeAsTitle = (text: string): string =>
  text.replace(/\p{L}+/gu, (word) => writeCapitalized(word))

/** `replace`, of the first `count` places, or of all for a negative count. */
export function replaceText(text: string, old: string, by: string, count: number): string {
  const pieces = old === '' ? ['', ...Array.from(text), ''] : text.split(old)
  if (count < 0) return pieces.join(by)
  const rest = pieces.slice(count)
  return [...pieces.slice(0, count), rest.join(old)].join(by)
}

function splitAtSpaces(text: string, limit: number, fromEnd: boolean): string[] {
  const trimmed = stripText(text, undefined, fromEnd ? 'end' : 'start')
  const words = stripText(text, undefined, 'both').split(whitespaceRun)
  if (words[0] === '') return []
  if (limit < 0 || words.length <= limit) return words
  const runs = new RegExp(`[^${whitespace}]+`, 'gu')
  const places = [...trimmed.matchAll(runs)]
  if (!fromEnd) {
    const cut = places[limit]
    return cut ? [...words.slice(0, limit), trimmed.slice(cut.index)] : words
  }
  const kept = places[places.length - limit - 1]
  if (!kept) return words
  return [trimmed.slice(0, kept.index + kept[0].length), ...words.slice(words.length - limit)]
}

const split =
  (fromEnd: boolean): Method =>
  (text, args, named) => {
    const [separator, count] = bindArguments('split', ['sep', 'maxsplit'], args, named)
    const limit = readInteger('split', count, -1)
    if (separator === undefined || separator === null) return splitAtSpaces(text, limit, fromEnd)
    const by = readText('split', separator)
    if (by === '') throw new TemplateError('empty separator')
    const parts = text.split(by)
    if (limit < 0 || parts.length <= limit + 1) return parts
    const cut = fromEnd ? parts.length - limit : limit
    return fromEnd
      ? [parts.slice(0, cut).join(by), ...parts.slice(cut)]
      : [...parts.slice(0, cut), parts.slice(cut).join(by)]
  }

const splitInThree =
  (fromEnd: boolean): Method =>
  (text, args, named) => {
    const [separator] = bindArguments('partition', ['sep'], args, named)
    const by = readText('partition', separator)
    const at = fromEnd ? text.lastIndexOf(by) : text.indexOf(by)
    if (at < 0) return makeTuple(fromEnd ? ['', '', text] : [text, '', ''])
    return makeTuple([text.slice(0, at), by, text.slice(at + by.length)])
  }

/** The part from `start` to `end` in code points, as Python's methods take both. */
function cutText(text: string, start: unknown, end: unknown): string {
  if (start === undefined && end === undefined) return text
  const signs = Array.from(text)
  const from = readInteger('slice', start, 0)
  return signs.slice(from, readInteger('slice', end, signs.length)).join('')
}

const hasAffix =
  (name: 'startsWith' | 'endsWith'): Method =>
  (text, args, named) => {
    const [affix, start, end] = bindArguments(name, ['affix', 'start', 'end'], args, named)
    const part = cutText(text, start, end)
    const choices = affix instanceof Tuple ? affix : [affix]
    return choices.some((choice) => part[name](readText(name.toLowerCase(), choice)))
  }

const findText =
  (name: string, fromEnd: boolean): Method =>
  (text, args, named) => {
    const [wanted, start, end] = bindArguments(name, ['sub', 'start', 'end'], args, named)
    const part = cutText(text, start, end)
    const sought = readText(name, wanted)
    const at = fromEnd ? part.lastIndexOf(sought) : part.indexOf(sought)
    if (at >= 0) {
      const from = readInteger(name, start, 0)
      const skipped = from < 0 ? Math.max(0, Array.from(text).length + from) : from
      return skipped + Array.from(part.slice(0, at)).length
    }
    if (name.endsWith('index')) throw new TemplateError('substring not found')
    return -1
  }

const padTo =
  (align: 'start' | 'end' | 'both'): Method =>
  (text, args, named) => {
    const [width, fill = ' '] = bindArguments('just', ['width', 'fillchar'], args, named)
    return padText(text, readInteger('just', width, 0), readText('just', fill), align)
  }

/** Text with `fill` on one side or both until it is `width` signs long. */
export function padText(
  text: string,
  width: number,
  fill: string,
  side: 'start' | 'end' | 'both',
): string {
  const missing = Math.max(0, width - Array.from(text).length)
  if (side !== 'both')
    return side === 'start' ? fill.repeat(missing) + text : text + fill.repeat(missing)
  const before = Math.floor(missing / 2) + (missing & width & 1)
  return fill.repeat(before) + text + fill.repeat(missing - before)
}

const take =
  (change: (text: string) => unknown): Method =>
  (text, args, named) => {
    bindArguments('method', [], args, named)
    return change(text)
  }

const isAll = (pattern: RegExp): Method => take((text) => pattern.test(text))

const strip =
  (side: 'both' | 'start' | 'end'): Method =>
  (text, args, named) =>
    stripText(text, bindArguments('strip', ['chars'], args, named)[0], side)

export const stringMethods: Readonly<Record<string, Method>> = {
  upper: take((text) => text.toUpperCase()),
  lower: take((text) => text.toLowerCase()),
  casefold: take((text) => text.toLowerCase()),
  capitalize: take(writeCapitalized),
  title: take(writeAsTitle),
  swapcase: take((text) =>
    Array.from(text, (sign) =>
      sign === sign.toUpperCase() ? sign.toLowerCase() : sign.toUpperCase(),
    ).join(''),
  ),
  strip: strip('both'),
  lstrip: strip('start'),
  rstrip: strip('end'),
  split: split(false),
  rsplit: split(true),
  partition: splitInThree(false),
  rpartition: splitInThree(true),
  splitlines: (text, args, named) =>
    splitLines(text, bindArguments('splitlines', ['keepends'], args, named)[0] === true),
  startswith: hasAffix('startsWith'),
  endswith: hasAffix('endsWith'),
  find: findText('find', false),
  rfind: findText('rfind', true),
  index: findText('index', false),
  rindex: findText('rindex', true),
  count: (text, args, named) => {
    const [wanted, start, end] = bindArguments('count', ['sub', 'start', 'end'], args, named)
    const sought = readText('count', wanted)
    const part = cutText(text, start, end)
    return sought === '' ? Array.from(part).length + 1 : part.split(sought).length - 1
  },
  replace: (text, args, named) => {
    const [old, by, count] = bindArguments('replace', ['old', 'new', 'count'], args, named)
    return replaceText(
      text,
      readText('replace', old),
      readText('replace', by),
      readInteger('replace', count, -1),
    )
  },
  join: (text, args, named) =>
    listItems(bindArguments('join', ['iterable'], args, named)[0])
      .map((item) => readText('join', item))
      .join(text),
  removeprefix: (text, args, named) => {
    const prefix = readText('removeprefix', bindArguments('it', ['prefix'], args, named)[0])
    return text.startsWith(prefix) ? text.slice(prefix.length) : text
  },
  removesuffix: (text, args, named) => {
    const suffix = readText('removesuffix', bindArguments('it', ['suffix'], args, named)[0])
    return suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text
  },
  ljust: padTo('end'),
  rjust: padTo('start'),
  center: padTo('both'),
  zfill: (text, args, named) => {
    const width = readInteger('zfill', bindArguments('zfill', ['width'], args, named)[0], 0)
    const sign = /^[-+]/.exec(text)?.[0] ?? ''
    return sign + padText(text.slice(sign.length), width - sign.length, '0', 'start')
  },
  format: formatBraces,
  isspace: isAll(new RegExp(`^[${whitespace}]+$`, 'u')),
  isdigit: isAll(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u),
  isdecimal: isAll(/^\p{Nd}+$/u),
  isnumeric: isAll(/^\p{N}+$/u),
  isalpha: isAll(/^\p{L}+$/u),
  isalnum: isAll(/^[\p{L}\p{N}]+$/u),
  isascii: isAll(/^[\0-\x7f]*$/),
  isupper: isAll(/^(?=.*\p{Lu})[^\p{Ll}]*$/su),
  islower: isAll(/^(?=.*\p{Ll})[^\p{Lu}]*$/su),
}
