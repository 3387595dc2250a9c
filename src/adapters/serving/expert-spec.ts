// Experts by name as a string: 'coder:0.7+security:0.3', optionally with the token from which
// another expert continues, and with layers. Independent of adapters and of where names are known.
//
//     text   = stage { '>' span '>' stage }                coder>40>poet     coder>20-60>poet
//     stage  = 'base' | part { '+' part }                  coder:0.7+security:0.3
//     part   = name [ ':' weight ]                         a number after a colon is a weight
//     weight = number | number '@' span { '/' number '@' span }   0.2@0-9/0.8@10-29, by layer
//     span   = integer | integer '-' integer
//
// Anything else after a colon is part of the name. A name in quotes, as JSON, may contain any
// character.

import { OptionError } from '../../base/errors.ts'
import { describeValue } from '../../base/schema.ts'
import { findOverlaps, type PartWeight } from './part-weight.ts'

export interface SpecPart {
  readonly name: string
  readonly weight: PartWeight
}

/** The experts that take over from a token of the answer on. */
export interface SpecStage {
  /** The last token of the previous experts alone. Tokens of the answer count from 0. */
  readonly from: number
  /** The first token of these experts alone; in between, the weights change linearly. */
  readonly to: number
  readonly parts: readonly SpecPart[]
}

/** Σ weight·expert; no part at all is the base. */
export interface ExpertSpec {
  readonly parts: readonly SpecPart[]
  readonly later?: readonly SpecStage[]
}

export interface SpecOptions {
  /** The name of the base model: 'base:coder' is the expert coder, and 'base' the base alone. */
  readonly base?: string | undefined
}

const baseWord = 'base'
const numberText = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?`
const spanText = String.raw`\d+(?:-\d+)?`
const layersText = `${numberText}@${spanText}`
const weightText = `(?:${layersText}(?:/${layersText})*|${numberText})`
const weightAt = new RegExp(String.raw`\s*(${weightText})\s*(?=[+>]|$)`, 'iy')
const quotedAt = /"(?:[^"\\]|\\.)*"/y
const spanAt = new RegExp(String.raw`\s*(${spanText})\s*>`, 'y')
const wholeWeight = new RegExp(`^${weightText}$`, 'i')

/**
 * Reads 'coder:0.7+security:0.3'. Throws OptionError with position and reason for a name that is
 * empty, weights that are not finite, and spans that go backwards.
 */
export function parseExpertSpec(text: string, { base }: SpecOptions = {}): ExpertSpec {
  if (typeof text !== 'string')
    throw new OptionError(
      `An expert's name: got ${describeValue(text)}, expected a string such as "coder:0.7+security:0.3".`,
    )
  const reader = { text: withoutBase(text, base), at: 0, base }
  const parts = readStage(reader)
  const later: SpecStage[] = []
  while (reader.at < reader.text.length) {
    const span = readSpan(reader, later.at(-1)?.to ?? 0)
    later.push({ from: span[0], to: span[1], parts: readStage(reader) })
  }
  return later.length === 0 ? { parts } : { parts, later }
}

/** 'coder:0.7+security:0.3': the text that `parseExpertSpec` reads as this. */
export const formatExpertSpec = ({ parts, later = [] }: ExpertSpec): string =>
  [
    formatStage(parts),
    ...later.map((stage) => `>${formatSpan([stage.from, stage.to])}>${formatStage(stage.parts)}`),
  ].join('')

/** '0.7', or '0.2@0-9/0.8@10-29'; undefined if a string is no weight. */
export function parseWeight(text: string): PartWeight | undefined {
  const trimmed = text.trim()
  return wholeWeight.test(trimmed) ? readWeight(trimmed, trimmed) : undefined
}

export const formatWeight = (weight: PartWeight): string =>
  typeof weight === 'number'
    ? String(weight)
    : weight.map(({ layers, weight: one }) => `${one}@${formatSpan(layers)}`).join('/')

/** Places in the text of a specification. */
interface Reader {
  readonly text: string
  at: number
  readonly base: string | undefined
}

/** 'base:coder' → 'coder', where `base` is the base's name; spaces around both are removed. */
function withoutBase(text: string, base: string | undefined): string {
  if (base === undefined) return text
  const trimmed = text.trim()
  if (trimmed === base) return baseWord
  if (!trimmed.startsWith(base)) return text
  const rest = /^\s*:(.*)$/s.exec(trimmed.slice(base.length))?.[1]
  if (rest === undefined || matchAt(weightAt, rest, 0)) return text
  return rest.trim() === '' ? baseWord : rest
}

/** Parts up to the end or a '>', which is skipped. */
function readStage(reader: Reader): SpecPart[] {
  const parts: SpecPart[] = []
  for (;;) {
    const part = readPart(reader)
    if (part) parts.push(part)
    const mark = reader.text[reader.at]
    if (mark !== undefined) reader.at++
    if (mark !== '+') return parts
  }
}

/** undefined: the base, with any weight. */
function readPart(reader: Reader): SpecPart | undefined {
  const { text, base } = reader
  const start = reader.at
  const { name, isQuoted } = readName(reader)
  const weight = readWeightBehind(reader)
  if (name === '')
    throw new OptionError(
      `${describeValue(text)}: the name at place ${start + 1} is empty; expected an expert, or ${baseWord}. A name that contains + or > is written in quotes.`,
    )
  return !isQuoted && (name === baseWord || name === base) ? undefined : { name, weight }
}

/** A name up to its weight, a mark, or the end. */
function readName(reader: Reader): { readonly name: string; readonly isQuoted: boolean } {
  const { text } = reader
  while (/\s/.test(text[reader.at] ?? '')) reader.at++
  if (text[reader.at] === '"') return { name: readQuoted(reader), isQuoted: true }
  const start = reader.at
  for (; reader.at < text.length; reader.at++) {
    const mark = text[reader.at]
    if (mark === '+' || mark === '>') break
    const isHash = text.endsWith('@sha256', reader.at) // coder@sha256:12345678 is no weight
    if (mark === ':' && !isHash && matchAt(weightAt, text, reader.at + 1)) break
  }
  return { name: text.slice(start, reader.at).trim(), isQuoted: false }
}

function readQuoted(reader: Reader): string {
  const { text, at } = reader
  const quoted = matchAt(quotedAt, text, at)?.[0]
  const refuse = (): never => {
    throw new OptionError(
      `${describeValue(text)}: the name at place ${at + 1} begins with a quotation mark, and is not a JSON string.`,
    )
  }
  if (quoted === undefined) return refuse()
  reader.at += quoted.length
  while (/\s/.test(text[reader.at] ?? '')) reader.at++
  if (!/[+>:]/.test(text[reader.at] ?? '+')) refuse()
  try {
    return JSON.parse(quoted) as string
  } catch {
    return refuse()
  }
}

/** The weight after a name; 1 if there is none. */
function readWeightBehind(reader: Reader): PartWeight {
  const { text, at } = reader
  if (text[at] !== ':') return 1
  const found = matchAt(weightAt, text, at + 1)
  if (!found)
    throw new OptionError(
      `${describeValue(text)}: after the quoted name at place ${at + 1}: expected a weight, such as :0.7 or :0.8@10-29.`,
    )
  reader.at += 1 + found[0].length
  return readWeight(found[1]!, text)
}

function readWeight(weight: string, text: string): PartWeight {
  if (!weight.includes('@')) return readNumber(weight, text)
  const parts = weight.split('/').map((part) => {
    const [number, span] = part.split('@') as [string, string]
    return { layers: toSpan(span, text, 'layers'), weight: readNumber(number, text) }
  })
  const [twice] = findOverlaps(parts, describeValue(text))
  if (twice !== undefined) throw new OptionError(`${twice} of one part.`)
  return parts
}

function readNumber(number: string, text: string): number {
  const value = Number(number)
  if (Number.isFinite(value)) return value === 0 ? 0 : value
  throw new OptionError(`${describeValue(text)}: weight ${number}: expected a finite number.`)
}

/** The tokens between two stages, after the first '>'. */
function readSpan(reader: Reader, least: number): readonly [number, number] {
  const { text, at } = reader
  const found = matchAt(spanAt, text, at)
  if (!found)
    throw new OptionError(
      `${describeValue(text)}: after > at place ${at}: expected tokens of the answer and an expert, such as coder>40>poet or coder>20-60>poet.`,
    )
  reader.at += found[0].length
  const span = toSpan(found[1]!, text, 'tokens')
  if (span[1] === 0 || span[0] < least)
    throw new OptionError(
      `${describeValue(text)}: tokens ${found[1]}: expected ${span[1] === 0 ? 'at least 1, because the experts before it write the first token' : `at least ${least}, where the stage before it ends`}.`,
    )
  return span
}

function toSpan(span: string, text: string, what: string): readonly [number, number] {
  const [first, last = first] = span.split('-').map(Number) as [number, number?]
  if (first <= last && Number.isSafeInteger(last)) return [first, last]
  throw new OptionError(`${describeValue(text)}: ${what} ${span}: expected the smaller one first.`)
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

const formatSpan = ([first, last]: readonly [number, number]): string =>
  first === last ? String(first) : `${first}-${last}`

const formatStage = (parts: readonly SpecPart[]): string =>
  parts.length === 0 ? baseWord : parts.map(formatPart).join('+')

/** Names that would be parsed as something else, alone or with what follows. */
const needsQuotes = /["+>\n\r]|:\s*[-+.\d]|:$|^\s|\s$|^$/

const formatPart = ({ name, weight }: SpecPart): string =>
  (needsQuotes.test(name) || name === baseWord ? JSON.stringify(name) : name) +
  (weight === 1 ? '' : `:${formatWeight(weight)}`)
