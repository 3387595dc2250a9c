// Regular expressions for rules of routers, matched in a time that grows linearly with the text:
// all ways of matching are followed in parallel (Thompson 1968), so no pattern and no prompt can
// stall a router. ECMAScript's syntax without look-around and back references. Case-insensitive.

import { GrammarError, OptionError } from '../../base/errors.ts'
import type { CodeRange } from '../../formats/grammar/grammar.ts'
import { WORD } from '../../formats/grammar/regex/code-classes.ts'
import { parseRegex, type RegexNode } from '../../formats/grammar/regex/parse-regex.ts'

type Step =
  | { readonly type: 'codes'; readonly ranges: readonly CodeRange[] }
  /** Continues at both places; `to` is filled once it is known. */
  | { readonly type: 'split'; to: number }
  | { readonly type: 'jump'; to: number }
  | { readonly type: 'check'; readonly what: 'start' | 'end' | 'edge' | 'no edge' }
  | { readonly type: 'found' }

export interface LinearPattern {
  readonly source: string
  /** Whether the text contains a match. */
  matches(text: string): boolean
}

/** Steps of one pattern at most: a text of 8,192 characters then takes at most some 10 ms. */
const mostSteps = 1000

/**
 * A pattern from its source. Throws GrammarError for what is not a regular expression, look-around
 * and back references, OptionError for one that is too large.
 */
export function compilePattern(source: string, what: string): LinearPattern {
  const steps: Step[] = []
  const push = (step: Step): void => {
    if (steps.length >= mostSteps)
      throw new OptionError(
        `${what}: the pattern has more than ${mostSteps} steps; use smaller counts in {…}.`,
      )
    steps.push(step)
  }
  emitNode(parseRegex(source, what).node, what, steps, push)
  push({ type: 'found' })
  return { source, matches: (text) => runSteps(steps, text) }
}

function emitNode(node: RegexNode, what: string, steps: Step[], push: (step: Step) => void): void {
  const emit = (inner: RegexNode): void => emitNode(inner, what, steps, push)
  switch (node.type) {
    case 'codes':
      return push({ type: 'codes', ranges: node.ranges })
    case 'sequence':
      return node.parts.forEach(emit)
    case 'either':
      return emitEither(node.parts, emit, steps, push)
    case 'repeat':
      return emitRepeat(node, emit, steps, push)
    case 'start':
    case 'end':
      return push({ type: 'check', what: node.type })
    case 'condition':
      if (node.text === '\\b') return push({ type: 'check', what: 'edge' })
      if (node.text === '\\B') return push({ type: 'check', what: 'no edge' })
      throw new GrammarError(
        what,
        `character ${node.at + 1}`,
        `got ${node.text}; look-around is not matched in linear time`,
      )
    case 'back':
      throw new GrammarError(
        what,
        `character ${node.at + 1}`,
        'got a back reference, which is not matched in linear time',
      )
  }
}

function emitEither(
  parts: readonly RegexNode[],
  emit: (node: RegexNode) => void,
  steps: Step[],
  push: (step: Step) => void,
): void {
  const ends: { to: number }[] = []
  parts.forEach((part, i) => {
    if (i === parts.length - 1) return emit(part)
    const split = { type: 'split' as const, to: 0 }
    push(split)
    emit(part)
    const jump = { type: 'jump' as const, to: 0 }
    push(jump)
    ends.push(jump)
    split.to = steps.length
  })
  for (const end of ends) end.to = steps.length
}

function emitRepeat(
  { of, least, most }: RegexNode & { readonly type: 'repeat' },
  emit: (node: RegexNode) => void,
  steps: Step[],
  push: (step: Step) => void,
): void {
  for (let i = 0; i < least; i++) emit(of)
  if (most === Infinity) {
    const start = steps.length
    const split = { type: 'split' as const, to: 0 }
    push(split)
    emit(of)
    push({ type: 'jump', to: start })
    split.to = steps.length
    return
  }
  const splits: { to: number }[] = []
  for (let i = least; i < most; i++) {
    const split = { type: 'split' as const, to: 0 }
    push(split)
    splits.push(split)
    emit(of)
  }
  for (const split of splits) split.to = steps.length
}

const isWithin = (ranges: readonly CodeRange[], code: number): boolean =>
  ranges.some(([from, to]) => code >= from && code <= to)

/** The code, and its other case where it has one. */
function listCases(code: number): readonly number[] {
  const letter = String.fromCodePoint(code)
  const other = letter.toLowerCase() === letter ? letter.toUpperCase() : letter.toLowerCase()
  return other === letter ? [code] : [code, other.codePointAt(0)!]
}

/**
 * A class matches if it contains the character in either case; a negated class ([^a-z], which ends
 * at the last code point) if it contains both.
 */
const isMatch = (ranges: readonly CodeRange[], cases: readonly number[]): boolean =>
  ranges.at(-1)?.[1] === 0x10ffff
    ? cases.every((one) => isWithin(ranges, one))
    : cases.some((one) => isWithin(ranges, one))

/** Where the text is now: its first and last place, and whether a word begins or ends here. */
interface Place {
  readonly start: boolean
  readonly end: boolean
  readonly edge: boolean
}

function isHeld(what: (Step & { readonly type: 'check' })['what'], place: Place): boolean {
  if (what === 'start') return place.start
  if (what === 'end') return place.end
  return what === 'edge' ? place.edge : !place.edge
}

/**
 * Follows all steps that need no character from `at`; true if the pattern is found. `marks` records
 * which were visited at this place of the text.
 */
function follow(
  steps: readonly Step[],
  at: number,
  place: Place,
  marks: Int32Array,
  mark: number,
  waiting: number[],
): boolean {
  const open = [at]
  for (let i = open.pop(); i !== undefined; i = open.pop()) {
    if (marks[i] === mark) continue
    marks[i] = mark
    const step = steps[i]!
    if (step.type === 'found') return true
    if (step.type === 'codes') waiting.push(i)
    else if (step.type === 'jump') open.push(step.to)
    else if (step.type === 'split') open.push(i + 1, step.to)
    else if (isHeld(step.what, place)) open.push(i + 1)
  }
  return false
}

function runSteps(steps: readonly Step[], text: string): boolean {
  const codes = Array.from(text, (letter) => letter.codePointAt(0)!)
  const marks = new Int32Array(steps.length).fill(-1)
  let waiting: number[] = []
  let wasWord = false
  for (let at = 0; at <= codes.length; at++) {
    const code = codes[at]
    const isWord = code !== undefined && isWithin(WORD, code)
    const place = { start: at === 0, end: code === undefined, edge: isWord !== wasWord }
    const next: number[] = []
    const cases = at === 0 ? [] : listCases(codes[at - 1]!)
    for (const i of waiting) {
      const { ranges } = steps[i] as Step & { readonly type: 'codes' }
      if (!isMatch(ranges, cases)) continue
      if (follow(steps, i + 1, place, marks, at, next)) return true
    }
    // the pattern may begin anywhere
    if (follow(steps, 0, place, marks, at, next)) return true
    waiting = next
    wasWord = isWord
  }
  return false
}
