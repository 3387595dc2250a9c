// Encodes values as messages. Plain data is sent unchanged; abort signals and errors are replaced
// and listed with their paths; values that would lose their meaning (functions, instances of
// classes) are refused.

import { OptionError } from '../../base/errors.ts'
import { decodeThrown, type EncodedError, encodeThrown } from './encode-error.ts'
import { findTransfers } from './transfer.ts'

/** Keys of objects, positions in lists; in maps and sets the position of the entry. */
type Path = readonly (string | number)[]

/** The original at a place of the value. */
type Attached =
  | {
      readonly path: Path
      readonly kind: 'signal'
      readonly signal: number
      /** The reason, if it is aborted already. */
      readonly reason?: EncodedValue
    }
  | { readonly path: Path; readonly kind: 'error'; readonly error: EncodedError }

export interface EncodedValue {
  readonly value: unknown
  /** Absent if nothing was replaced. */
  readonly attached?: readonly Attached[]
}

/** The names of signals in messages, by sender. */
export type SignalNaming = (signal: AbortSignal) => number

/** The signal of a number, with the reason if it is aborted already. */
export type SignalFinding = (signal: number, aborted?: { readonly reason: unknown }) => AbortSignal

interface Encoding {
  /** The beginning of error messages: 'generate: argument 1'. */
  readonly what: string
  readonly nameSignal: SignalNaming | undefined
  readonly attached: Attached[]
  readonly transfer: ArrayBuffer[]
  /** The objects that hold the one that is visited. */
  readonly holders: Set<object>
}

/** The value and what is moved with it. Throws OptionError that names the place. */
export function encodeValue(
  value: unknown,
  what: string,
  nameSignal?: SignalNaming,
): { readonly encoded: EncodedValue; readonly transfer: ArrayBuffer[] } {
  const encoding: Encoding = { what, nameSignal, attached: [], transfer: [], holders: new Set() }
  const plain = visitValue(value, [], encoding)
  const { attached, transfer } = encoding
  return { encoded: attached.length > 0 ? { value: plain, attached } : { value: plain }, transfer }
}

/** The value again; signals are found by their number. */
export function decodeValue(
  { value, attached = [] }: EncodedValue,
  findSignal: SignalFinding = findNoSignal,
): unknown {
  return attached.reduce((whole, item) => {
    const found = item.kind === 'error' ? decodeError(item.error) : readSignal(item, findSignal)
    return replaceAt(whole, item.path, found)
  }, value)
}

const readSignal = (
  { signal, reason }: Attached & { readonly kind: 'signal' },
  findSignal: SignalFinding,
): AbortSignal => findSignal(signal, reason && { reason: decodeValue(reason) })

/** Only arguments hold signals. */
const findNoSignal: SignalFinding = () => new AbortController().signal

/**
 * Encodes reasons and fields of errors, which must always arrive: a value that cannot be sent is
 * replaced by a description.
 */
export function encodeReason(value: unknown): EncodedValue {
  try {
    return encodeValue(value, 'a value').encoded
  } catch {
    return { value: `(a ${typeof value} that cannot be sent to another thread)` }
  }
}

/** Encodes any thrown value. */
export const encodeError = (error: unknown): EncodedError => encodeThrown(error, encodeReason)

export const decodeError = (error: EncodedError): unknown =>
  decodeThrown(error, (field) => decodeValue(field as EncodedValue))

function visitValue(value: unknown, path: Path, encoding: Encoding): unknown {
  if (typeof value === 'function' || typeof value === 'symbol')
    throw createRefusal(path, `a ${typeof value}`, encoding)
  if (typeof value !== 'object' || value === null) return value
  const moved = findTransfers(value)
  if (moved) encoding.transfer.push(...moved.filter((one) => !encoding.transfer.includes(one)))
  if (ArrayBuffer.isView(value)) return moved ? value : trimView(value)
  if (value instanceof AbortSignal) {
    if (!encoding.nameSignal) throw createRefusal(path, 'an AbortSignal', encoding)
    const signal = encoding.nameSignal(value)
    const aborted = value.aborted && { reason: encodeReason(value.reason) }
    encoding.attached.push({ path, kind: 'signal', signal, ...aborted })
    return undefined
  }
  if (value instanceof Error) {
    encoding.attached.push({ path, kind: 'error', error: encodeError(value) })
    return undefined
  }
  return isClonable(value) ? value : visitHolder(value, path, encoding)
}

function visitHolder(value: object, path: Path, encoding: Encoding): unknown {
  const { holders } = encoding
  if (holders.has(value)) throw createRefusal(path, 'a value that contains itself', encoding)
  holders.add(value)
  try {
    if (Array.isArray(value)) return visitList(value, path, encoding)
    if (value instanceof Map) return new Map(visitList([...value], path, encoding) as [])
    if (value instanceof Set) return new Set(visitList([...value], path, encoding))
    if (!isPlain(value)) {
      const name = value.constructor?.name ?? 'unknown'
      throw createRefusal(path, `an object of the class ${name}`, encoding)
    }
    return visitRecord(value as Readonly<Record<string, unknown>>, path, encoding)
  } finally {
    holders.delete(value)
  }
}

/** Returns the list itself if nothing in it had to be replaced. */
function visitList(list: readonly unknown[], path: Path, encoding: Encoding): readonly unknown[] {
  let copy: unknown[] | undefined
  for (let i = 0; i < list.length; i++) {
    const item = list[i]
    if (typeof item === 'number') continue // token ids: long lists
    const plain = visitValue(item, [...path, i], encoding)
    if (plain !== item) (copy ??= [...list])[i] = plain
  }
  return copy ?? list
}

function visitRecord(
  record: Readonly<Record<string, unknown>>,
  path: Path,
  encoding: Encoding,
): unknown {
  let copy: Record<string, unknown> | undefined
  for (const key of Object.keys(record)) {
    const item = record[key]
    const plain = visitValue(item, [...path, key], encoding)
    if (plain !== item) (copy ??= { ...record })[key] = plain
  }
  return copy ?? record
}

/** Structured clone copies the whole buffer of a view; this is a copy of the view's part alone. */
function trimView(view: ArrayBufferView): ArrayBufferView {
  const { buffer, byteOffset, byteLength } = view
  if (!(buffer instanceof ArrayBuffer) || byteLength === buffer.byteLength) return view
  const part = buffer.slice(byteOffset, byteOffset + byteLength)
  // Node's Buffer, a Uint8Array, arrives as one.
  if (view instanceof Uint8Array) return new Uint8Array(part)
  const ViewType = view.constructor as new (buffer: ArrayBuffer) => ArrayBufferView
  return new ViewType(part)
}

const isClonable = (value: object): boolean =>
  value instanceof ArrayBuffer ||
  value instanceof Date ||
  value instanceof RegExp ||
  value instanceof Blob ||
  /^\[object (SharedArrayBuffer|FileSystem(File|Directory)Handle)\]$/.test(
    Object.prototype.toString.call(value),
  )

/** Made by a literal or without a prototype, in this realm or another. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function createRefusal(path: Path, got: string, { what }: Encoding): OptionError {
  const place = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')
  const name = place === '' ? what : `${what}, at ${place.replace(/^\./, '')}`
  return new OptionError(
    `${name}: got ${got}, which cannot be sent to another thread; expected plain data, typed arrays, errors or an AbortSignal.`,
  )
}

/**
 * The objects on the path belong to the message, so they are changed in place; maps and sets are
 * rebuilt.
 */
function replaceAt(value: unknown, path: Path, found: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined) return found
  if (value instanceof Map) return new Map(replaceAt([...value], path, found) as [])
  if (value instanceof Set) return new Set(replaceAt([...value], path, found) as [])
  const holder = value as Record<string | number, unknown>
  holder[step] = replaceAt(holder[step], rest, found)
  return holder
}
