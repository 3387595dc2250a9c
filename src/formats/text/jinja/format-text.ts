// Python's two ways to format a string: `'%s' % value` and `'{}'.format(value)`.

import { toRepr, toText } from './show.ts'
import { describeType, Float, isInteger, type NamedValues, TemplateError } from './values.ts'

const padText = (text: string, width: number, align: string, fill = ' '): string => {
  const missing = Math.max(0, width - Array.from(text).length)
  if (align === '<') return text + fill.repeat(missing)
  if (align === '^') {
    const before = Math.floor(missing / 2)
    return fill.repeat(before) + text + fill.repeat(missing - before)
  }
  if (align === '=') {
    const sign = /^[-+]/.exec(text)?.[0] ?? ''
    return sign + fill.repeat(missing) + text.slice(sign.length)
  }
  return fill.repeat(missing) + text
}

const toNumber = (value: unknown): number => {
  if (value instanceof Float) return value.value
  if (isInteger(value) || typeof value === 'boolean') return Number(value)
  throw new TemplateError(`a number is required, not ${describeType(value)}`)
}

/** `toFixed`, with an exact half rounded to the even neighbour, as Python does. */
export function formatFixed(value: number, places: number): string {
  const rounded = value.toFixed(places)
  const exact = Math.abs(value).toFixed(Math.min(100, places + 50))
  const cut = exact.indexOf('.') + 1 + places
  if (!/^50*$/.test(exact.slice(cut))) return rounded
  const kept = exact.slice(0, places === 0 ? cut - 1 : cut)
  return /[02468]$/.test(kept) ? (value < 0 ? `-${kept}` : kept) : rounded
}

/** One `%` conversion of a value. */
function convertPercent(letter: string, value: unknown, precision: number | undefined): string {
  if (letter === 's') return toText(value).slice(0, precision)
  if (letter === 'r') return toRepr(value)
  if (letter === 'd' || letter === 'i')
    return isInteger(value) ? String(value) : String(Math.trunc(toNumber(value)))
  if (letter === 'f' || letter === 'F') return formatFixed(toNumber(value), precision ?? 6)
  if (letter === 'x') return Math.trunc(toNumber(value)).toString(16)
  throw new TemplateError(`unsupported format character '${letter}'`)
}

/** `text % values`; `named` for `%(name)s`. */
export function formatPercent(
  text: string,
  values: readonly unknown[],
  named: ReadonlyMap<unknown, unknown> | undefined,
): string {
  let used = 0
  const filled = text.replace(
    /%(?:\((\w+)\))?([-0+]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_, key?: string, flags = '', width = '', precision?: string, letter = '') => {
      if (letter === '%') return '%'
      if (key === undefined && used >= values.length)
        throw new TemplateError('not enough arguments for format string')
      const value = key === undefined ? values[used++] : named?.get(key)
      const shown = convertPercent(
        letter,
        value,
        precision === undefined ? undefined : Number(precision),
      )
      const signed = flags.includes('+') && !shown.startsWith('-') ? `+${shown}` : shown
      if (flags.includes('-')) return padText(signed, Number(width), '<')
      return flags.includes('0') && letter !== 's'
        ? padText(signed, Number(width), '=', '0')
        : padText(signed, Number(width), '>')
    },
  )
  if (named === undefined && used < values.length)
    throw new TemplateError('not all arguments converted during string formatting')
  return filled
}

/** A value by the part after the colon of `{:…}`. */
function formatBySpec(value: unknown, spec: string): string {
  if (spec === '') return toText(value)
  const found = /^(?:(.)?([<>=^]))?([-+ ]?)(0?)(\d*)(,?)(?:\.(\d+))?([a-zA-Z%]?)$/u.exec(spec)
  if (!found) throw new TemplateError(`Invalid format specifier '${spec}'`)
  const [, fill, align, plus, zero, width, comma, precision, letter] = found
  const isNumber = isInteger(value) || value instanceof Float
  const body = isNumber
    ? formatNumber(value, letter!, precision, comma === ',')
    : toText(value).slice(0, precision === undefined ? undefined : Number(precision))
  const signed = isNumber && plus === '+' && !body.startsWith('-') ? `+${body}` : body
  const side = align ?? (zero ? '=' : isNumber ? '>' : '<')
  return padText(signed, Number(width), side, fill ?? (zero ? '0' : ' '))
}

function formatNumber(
  value: number | bigint | Float,
  letter: string,
  precision: string | undefined,
  hasCommas: boolean,
): string {
  const places = precision === undefined ? 6 : Number(precision)
  let text = toText(value)
  if (letter === 'f') text = formatFixed(toNumber(value), places)
  else if (letter === '%') text = `${formatFixed(toNumber(value) * 100, places)}%`
  else if (letter === 'x') text = BigInt(value as number).toString(16)
  else if (!['', 'd', 's', 'g'].includes(letter))
    throw new TemplateError(`Unknown format code '${letter}'`)
  return hasCommas
    ? text.replace(/^-?\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ','))
    : text
}

/** `text.format(*args, **named)`, of names and positions; attributes are refused. */
export function formatBraces(text: string, args: readonly unknown[], named: NamedValues): string {
  let used = 0
  return text.replace(
    /\{\{|\}\}|\{([^{}:!]*)(?:!([rs]))?(?::([^{}]*))?\}/g,
    (whole, field?: string, conversion?: string, spec = '') => {
      if (whole === '{{' || whole === '}}') return whole[0]!
      if (!/^\w*$/.test(field!))
        throw new TemplateError(`cannot look up "${field}" in a format string`)
      const key = field === '' ? String(used++) : field!
      const value = /^\d+$/.test(key) ? args[Number(key)] : named.get(key)
      if (value === undefined) throw new TemplateError(`nothing is given for {${field}}`)
      return formatBySpec(conversion === 'r' ? toRepr(value) : value, spec)
    },
  )
}
