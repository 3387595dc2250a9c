// A grammar as rules over code points: what every notation is read into. Independent of notations,
// tokenizers and the library that computes masks.

/** Code points from … to, both included. */
export type CodeRange = readonly [from: number, to: number]

export type GrammarExpression =
  | { readonly type: 'text'; readonly text: string }
  /** One code point; ranges rise and do not touch. */
  | { readonly type: 'codes'; readonly ranges: readonly CodeRange[] }
  | { readonly type: 'sequence'; readonly parts: readonly GrammarExpression[] }
  /** Without parts nothing fits, not even the empty text. */
  | { readonly type: 'either'; readonly parts: readonly GrammarExpression[] }
  | {
      readonly type: 'repeat'
      readonly of: GrammarExpression
      readonly least: number
      /** May be Infinity. */
      readonly most: number
    }
  | { readonly type: 'rule'; readonly name: string }
  | FreeText

/**
 * Free text that is held to a rule behind each trigger. `stops` end it and belong to it; without
 * them it may end anywhere, unless `isRequired` demands a trigger first.
 */
export interface FreeText {
  readonly type: 'free'
  readonly triggers: readonly { readonly text: string; readonly rule: string }[]
  readonly stops: readonly string[]
  /** Whether free text continues behind a rule. */
  readonly goesOn: boolean
}

export interface Grammar {
  readonly root: string
  readonly rules: ReadonlyMap<string, GrammarExpression>
}

/** Fits nothing. */
export const NOTHING: GrammarExpression = { type: 'either', parts: [] }
/** The empty text. */
export const EMPTY: GrammarExpression = { type: 'text', text: '' }

export const isNothing = (expression: GrammarExpression): boolean =>
  expression.type === 'either' && expression.parts.length === 0

const isEmpty = (expression: GrammarExpression): boolean =>
  expression.type === 'text' && expression.text === ''

export const matchText = (text: string): GrammarExpression => ({ type: 'text', text })

export const matchRule = (name: string): GrammarExpression => ({ type: 'rule', name })

export function matchCodes(ranges: readonly CodeRange[]): GrammarExpression {
  const merged = mergeRanges(ranges)
  return merged.length === 0 ? NOTHING : { type: 'codes', ranges: merged }
}

/** One after the other. */
export function matchSequence(...parts: readonly GrammarExpression[]): GrammarExpression {
  if (parts.some(isNothing)) return NOTHING
  const kept: GrammarExpression[] = []
  for (const part of parts.flatMap((one) => (one.type === 'sequence' ? one.parts : [one]))) {
    const last = kept.at(-1)
    if (isEmpty(part)) continue
    if (part.type === 'text' && last?.type === 'text')
      kept.splice(-1, 1, matchText(last.text + part.text))
    else kept.push(part)
  }
  if (kept.length === 0) return EMPTY
  return kept.length === 1 ? kept[0]! : { type: 'sequence', parts: kept }
}

export function matchEither(...parts: readonly GrammarExpression[]): GrammarExpression {
  const kept = parts.flatMap((part) => (part.type === 'either' ? part.parts : [part]))
  return kept.length === 1 ? kept[0]! : { type: 'either', parts: kept }
}

export function matchRepeat(of: GrammarExpression, least: number, most: number): GrammarExpression {
  if (least > most) return NOTHING
  if (most === 0 || isEmpty(of)) return EMPTY
  if (isNothing(of)) return least === 0 ? EMPTY : NOTHING
  return least === 1 && most === 1 ? of : { type: 'repeat', of, least, most }
}

export const matchOptional = (of: GrammarExpression): GrammarExpression => matchRepeat(of, 0, 1)

const LAST_CODE = 0x10ffff

/**
 * In rising order, overlapping and touching ones joined; surrogates, which no text contains, left
 * out.
 */
export function mergeRanges(ranges: readonly CodeRange[]): CodeRange[] {
  const merged: [number, number][] = []
  for (const [from, to] of withoutSurrogates(ranges).toSorted(([a], [b]) => a - b)) {
    const last = merged.at(-1)
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else if (from <= to) merged.push([from, to])
  }
  return merged
}

function withoutSurrogates(ranges: readonly CodeRange[]): CodeRange[] {
  return ranges.flatMap(([from, to]): CodeRange[] => {
    if (to < 0xd800 || from > 0xdfff) return [[from, to]]
    const parts: CodeRange[] = [
      [from, 0xd7ff],
      [0xe000, to],
    ]
    return parts.filter(([a, b]) => a <= b)
  })
}

/** All other code points. */
export function invertRanges(ranges: readonly CodeRange[]): CodeRange[] {
  const inverted: CodeRange[] = []
  let next = 0
  for (const [from, to] of mergeRanges(ranges)) {
    if (from > next) inverted.push([next, from - 1])
    next = to + 1
  }
  if (next <= LAST_CODE) inverted.push([next, LAST_CODE])
  return mergeRanges(inverted)
}

/** Code points of both. */
export const intersectRanges = (a: readonly CodeRange[], b: readonly CodeRange[]): CodeRange[] =>
  invertRanges([...invertRanges(a), ...invertRanges(b)])

export const ANY_CODE: GrammarExpression = { type: 'codes', ranges: invertRanges([]) }

/** Rules while a grammar is read: each gets its own name. */
export class RuleBook {
  readonly #rules = new Map<string, GrammarExpression>()
  #count = 0

  /** A name that no rule has yet; `fill` gives it its content, which may refer to it. */
  reserve(hint: string): string {
    return `${hint}-${this.#count++}`
  }

  fill(name: string, expression: GrammarExpression): void {
    this.#rules.set(name, expression)
  }

  /** A rule of this content. */
  add(hint: string, expression: GrammarExpression): GrammarExpression {
    const name = this.reserve(hint)
    this.fill(name, expression)
    return matchRule(name)
  }

  /** Takes over all rules of another grammar; returns the reference to its root. */
  include({ root, rules }: Grammar): GrammarExpression {
    const prefix = this.reserve('part')
    for (const [name, expression] of rules)
      this.fill(
        `${prefix}-${name}`,
        rewriteRules(expression, (old) => `${prefix}-${old}`),
      )
    return matchRule(`${prefix}-${root}`)
  }

  finish(root: GrammarExpression): Grammar {
    this.fill('root', root)
    return { root: 'root', rules: this.#rules }
  }
}

function rewriteRules(
  expression: GrammarExpression,
  rename: (name: string) => string,
): GrammarExpression {
  switch (expression.type) {
    case 'rule':
      return matchRule(rename(expression.name))
    case 'sequence':
    case 'either':
      return {
        type: expression.type,
        parts: expression.parts.map((part) => rewriteRules(part, rename)),
      }
    case 'repeat':
      return { ...expression, of: rewriteRules(expression.of, rename) }
    case 'free': {
      const triggers = expression.triggers.map(({ text, rule }) => ({ text, rule: rename(rule) }))
      return { ...expression, triggers }
    }
    case 'text':
    case 'codes':
      return expression
  }
}
