// Values as text: Python's `str` and `repr`, and `json.dumps` as transformers' `tojson` calls it.

import { formatPythonFloat } from '../../../base/exact-number.ts'
import {
  Callable,
  describeType,
  Float,
  isDict,
  isInteger,
  Loop,
  Namespace,
  Stream,
  TemplateError,
  Tuple,
  Undefined,
  View,
} from './values.ts'

const formatFloat = ({ value }: Float): string =>
  Number.isNaN(value)
    ? 'nan'
    : Number.isFinite(value)
      ? formatPythonFloat(value)
      : value > 0
        ? 'inf'
        : '-inf'

/** What `{{ value }}` prints. */
export function toText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Undefined) return ''
  return toRepr(value)
}

const escapedInRepr: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

function toStringRepr(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  const inside = value.replace(
    /[\\\n\r\t]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}|'/gu,
    (sign) => {
      if (sign === "'") return quote === "'" ? "\\'" : sign
      return escapedInRepr[sign] ?? escapeCodePoint(sign.codePointAt(0)!)
    },
  )
  return quote + inside + quote
}

function escapeCodePoint(code: number): string {
  const hex = code.toString(16)
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

/** Python's `repr`. */
export function toRepr(value: unknown): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return toStringRepr(value)
  if (isInteger(value)) return String(value)
  if (value instanceof Float) return formatFloat(value)
  if (value instanceof Tuple)
    return `(${value.map(toRepr).join(', ')}${value.length === 1 ? ',' : ''})`
  if (value instanceof View) return value.shown(`[${Array.from(value, toRepr).join(', ')}]`)
  if (Array.isArray(value)) return `[${value.map(toRepr).join(', ')}]`
  if (isDict(value))
    return `{${Array.from(value, ([key, item]) => `${toRepr(key)}: ${toRepr(item)}`).join(', ')}}`
  return toObjectRepr(value)
}

function toObjectRepr(value: unknown): string {
  if (value instanceof Namespace) return `<Namespace ${toRepr(value.values)}>`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Callable) return `<function ${value.name}>`
  if (value instanceof Stream) return '<generator object>'
  if (value instanceof Loop) return `<LoopContext ${value.at + 1}/${value.items.length}>`
  return String(value)
}

export interface JsonFormat {
  /** What one level is indented by; undefined for one line. */
  readonly indent?: string | undefined
  readonly separators?: readonly [item: string, key: string] | undefined
  readonly sortsKeys?: boolean
  readonly isAscii?: boolean
}

/** `json.dumps(value, ensure_ascii=False, …)`. Throws TemplateError for what JSON does not have. */
export function toJsonText(value: unknown, format: JsonFormat = {}): string {
  const { indent } = format
  const separators = format.separators ?? (indent === undefined ? [', ', ': '] : [',', ': '])
  const writeAll = (items: readonly string[], brackets: string, depth: number): string => {
    if (items.length === 0) return brackets
    if (indent === undefined) return brackets[0] + items.join(separators[0]) + brackets[1]
    const line = `\n${indent.repeat(depth + 1)}`
    return `${brackets[0]}${line}${items.join(separators[0] + line)}\n${indent.repeat(depth)}${brackets[1]}`
  }
  const write = (part: unknown, depth: number): string => {
    if (typeof part === 'string') return quoteJson(part, format.isAscii ?? false)
    if (part === null) return 'null'
    if (typeof part === 'boolean' || isInteger(part)) return String(part)
    if (part instanceof Float) return toFloatJson(part)
    if (Array.isArray(part) && !(part instanceof View))
      return writeAll(
        Array.from(part, (item) => write(item, depth + 1)),
        '[]',
        depth,
      )
    if (!isDict(part))
      throw new TemplateError(`Object of type ${describeType(part)} is not JSON serializable`)
    const entries = [...part].map(([key, item]) => [toJsonKey(key), item] as const)
    if (format.sortsKeys) entries.sort(([a], [b]) => compareCodePoints(a, b))
    return writeAll(
      entries.map(([key, item]) => write(key, depth + 1) + separators[1] + write(item, depth + 1)),
      '{}',
      depth,
    )
  }
  return write(value, 0)
}

function toJsonKey(key: unknown): string {
  if (typeof key === 'string') return key
  if (key === null || typeof key === 'boolean' || isInteger(key)) return String(key)
  if (key instanceof Float) return toFloatJson(key)
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${describeType(key)}`)
}

const toFloatJson = (part: Float): string =>
  Number.isFinite(part.value)
    ? formatFloat(part)
    : Number.isNaN(part.value)
      ? 'NaN'
      : part.value > 0
        ? 'Infinity'
        : '-Infinity'

const quoteJson = (text: string, isAscii: boolean): string => {
  const quoted = JSON.stringify(text)
  return isAscii
    ? quoted.replace(/[\x7f-\uffff]/g, (sign) =>
        sign === '\x7f' ? sign : `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    : quoted
}

/** The order of Python's str: by code points, where JavaScript's is by 16-bit units. */
export function compareCodePoints(a: string, b: string): number {
  const left = Array.from(a)
  const right = Array.from(b)
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!
    if (difference !== 0) return difference
  }
  return left.length - right.length
}
