// Reads EBNF as llama.cpp (GBNF) and XGrammar write it: name ::= alternatives, "text", [classes],
// groups, * + ? {m,n}, `.` for any character, # comments. A rule ends where the next one begins.

import { Cursor, takeCounts } from './cursor.ts'
import {
  ANY_CODE,
  type CodeRange,
  type GrammarExpression,
  type Grammar,
  invertRanges,
  matchCodes,
  matchEither,
  matchRepeat,
  matchRule,
  matchSequence,
  matchText,
} from './grammar.ts'

/** Groups within groups at most. */
const MOST_DEPTH = 200

const isNameStart = (character: string): boolean => /^[A-Za-z_]$/.test(character)
const isNamePart = (character: string): boolean => /^[A-Za-z0-9_.-]$/.test(character)

const describePlace = (at: number, text: readonly string[]): string => {
  const lines = text.slice(0, at).join('').split('\n')
  return `line ${lines.length}, column ${Array.from(lines.at(-1)!).length + 1}`
}

class EbnfReader {
  readonly #cursor: Cursor
  readonly #rules = new Map<string, GrammarExpression>()
  readonly #references: { readonly name: string; readonly at: number }[] = []
  #depth = 0

  constructor(text: string) {
    this.#cursor = new Cursor(text, 'The grammar', describePlace)
  }

  read(root: string): Grammar {
    const cursor = this.#cursor
    for (this.#skip(); !cursor.isEnd; this.#skip()) this.#readRule()
    for (const { name, at } of this.#references)
      if (!this.#rules.has(name))
        throw cursor.error(`there is no rule "${name}" (there are ${this.#list()})`, at)
    if (!this.#rules.has(root))
      throw cursor.error(`there is no rule "${root}" to begin with (there are ${this.#list()})`, 0)
    return { root, rules: this.#rules }
  }

  #list(): string {
    return [...this.#rules.keys()].slice(0, 10).join(', ') || 'none'
  }

  #skip(): void {
    const cursor = this.#cursor
    while (!cursor.isEnd) {
      if (/\s/.test(cursor.peek())) cursor.next()
      else if (cursor.peek() === '#') cursor.takeWhile((character) => character !== '\n')
      else return
    }
  }

  #readRule(): void {
    const cursor = this.#cursor
    const start = cursor.at
    if (!isNameStart(cursor.peek()))
      throw cursor.error(`got "${cursor.peek()}", expected the name of a rule`)
    const name = cursor.takeWhile(isNamePart)
    this.#skip()
    if (!cursor.take('::=')) throw cursor.error(`expected ::= behind the rule's name "${name}"`)
    if (this.#rules.has(name)) throw cursor.error(`the rule "${name}" is there twice`, start)
    this.#rules.set(name, this.#readAlternatives())
    this.#skip()
    if (!cursor.isEnd && !this.#isRuleStart())
      throw cursor.error(`got "${cursor.peek()}", expected an alternative or the next rule`)
  }

  /** Whether a name and ::= are here. */
  #isRuleStart(): boolean {
    const cursor = this.#cursor
    const start = cursor.at
    const isName = isNameStart(cursor.peek()) && cursor.takeWhile(isNamePart) !== ''
    this.#skip()
    const is = isName && cursor.take('::=')
    cursor.at = start
    return is
  }

  #readAlternatives(): GrammarExpression {
    const parts = [this.#readSequence()]
    for (this.#skip(); this.#cursor.take('|'); this.#skip()) parts.push(this.#readSequence())
    return matchEither(...parts)
  }

  #readSequence(): GrammarExpression {
    const parts: GrammarExpression[] = []
    for (;;) {
      this.#skip()
      const character = this.#cursor.peek()
      if (character === '' || character === '|' || character === ')' || this.#isRuleStart()) break
      parts.push(this.#readRepeats(this.#readElement()))
    }
    return matchSequence(...parts)
  }

  #readRepeats(element: GrammarExpression): GrammarExpression {
    const cursor = this.#cursor
    let repeated = element
    for (;;) {
      const start = cursor.at
      this.#skip()
      if (cursor.take('*')) repeated = matchRepeat(repeated, 0, Infinity)
      else if (cursor.take('+')) repeated = matchRepeat(repeated, 1, Infinity)
      else if (cursor.take('?')) repeated = matchRepeat(repeated, 0, 1)
      else if (cursor.peek() === '{') {
        const counts = takeCounts(cursor)
        if (!counts) throw cursor.error('expected {m}, {m,} or {m,n}')
        if (counts.least > counts.most)
          throw cursor.error(`got {${counts.least},${counts.most}}, expected the smaller first`)
        repeated = matchRepeat(repeated, counts.least, counts.most)
      } else {
        cursor.at = start
        return repeated
      }
    }
  }

  #readElement(): GrammarExpression {
    const cursor = this.#cursor
    const start = cursor.at
    const character = cursor.peek()
    if (character === '"') return this.#readText()
    if (character === '[') return this.#readClass()
    if (cursor.take('.')) return ANY_CODE
    if (character === '(') return this.#readGroup()
    if (!isNameStart(character))
      throw cursor.error(`got "${character}", expected a string, a class, a group or a rule`)
    const name = cursor.takeWhile(isNamePart)
    this.#references.push({ name, at: start })
    return matchRule(name)
  }

  #readGroup(): GrammarExpression {
    const cursor = this.#cursor
    const start = cursor.at
    cursor.next()
    if (cursor.peek() === '=') throw cursor.error('look-aheads are not supported', start)
    if (++this.#depth > MOST_DEPTH)
      throw cursor.error(`over ${MOST_DEPTH} groups within each other`, start)
    const inner = this.#readAlternatives()
    this.#depth--
    this.#skip()
    if (!cursor.take(')')) throw cursor.error('the group that begins here has no end', start)
    return inner
  }

  #readText(): GrammarExpression {
    const cursor = this.#cursor
    const start = cursor.at
    cursor.next()
    let text = ''
    while (!cursor.take('"')) {
      if (cursor.isEnd || cursor.peek() === '\n')
        throw cursor.error('the text that begins here has no end', start)
      text += cursor.peek() === '\\' ? String.fromCodePoint(this.#readEscape()) : cursor.next()
    }
    return matchText(text)
  }

  #readClass(): GrammarExpression {
    const cursor = this.#cursor
    const start = cursor.at
    cursor.next()
    const isInverted = cursor.take('^')
    const ranges: CodeRange[] = []
    while (!cursor.take(']')) {
      const from = this.#readClassCode(start)
      const isRange = cursor.peek() === '-' && cursor.peek(1) !== ']' && cursor.take('-')
      const to = isRange ? this.#readClassCode(start) : from
      if (to < from) throw cursor.error('a range goes from the smaller character to the larger one')
      ranges.push([from, to])
    }
    if (ranges.length === 0 && !isInverted) throw cursor.error('the class is empty', start)
    return matchCodes(isInverted ? invertRanges(ranges) : ranges)
  }

  #readClassCode(start: number): number {
    const cursor = this.#cursor
    if (cursor.isEnd || cursor.peek() === '\n')
      throw cursor.error('the class that begins here has no end', start)
    return cursor.peek() === '\\' ? this.#readEscape() : cursor.next().codePointAt(0)!
  }

  #readEscape(): number {
    const cursor = this.#cursor
    const start = cursor.at
    cursor.next()
    const letter = cursor.next()
    const digits = { x: 2, u: 4, U: 8 }[letter]
    if (digits !== undefined) {
      const code = cursor.takeHex(digits)
      if (code === undefined || code > 0x10ffff)
        throw cursor.error(`\\${letter} takes ${digits} hexadecimal digits of a code point`, start)
      return code
    }
    const control = { n: 10, r: 13, t: 9, f: 12, b: 8, v: 11, a: 7, '0': 0, e: 27 }[letter]
    if (control !== undefined) return control
    if (/^[A-Za-z0-9]?$/.test(letter)) throw cursor.error(`there is no escape "\\${letter}"`, start)
    return letter.codePointAt(0)!
  }
}

/** Throws GrammarError that names line and column. */
export function readEbnf(text: string, root = 'root'): Grammar {
  return new EbnfReader(text).read(root)
}
