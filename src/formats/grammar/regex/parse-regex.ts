// Parses ECMAScript's regular expressions, with Python's named groups. What no grammar can hold
// (look-around, word boundaries, back references) becomes its own node, which the reader refuses or
// drops.

import { Cursor, isDigit, takeCounts } from '../cursor.ts'
import { type CodeRange, invertRanges } from '../grammar.ts'
import { findProperty, letterClasses, LINE_ENDS } from './code-classes.ts'

export type RegexNode =
  | { readonly type: 'codes'; readonly ranges: readonly CodeRange[] }
  | { readonly type: 'sequence'; readonly parts: readonly RegexNode[] }
  | { readonly type: 'either'; readonly parts: readonly RegexNode[] }
  | {
      readonly type: 'repeat'
      readonly of: RegexNode
      readonly least: number
      readonly most: number
    }
  | { readonly type: 'start' }
  | { readonly type: 'end' }
  /** Only narrows what fits: without it more fits. */
  | { readonly type: 'condition'; readonly text: string; readonly at: number }
  /** What an earlier group matched. */
  | {
      readonly type: 'back'
      readonly group: string
      readonly at: number
    }

export interface ParsedRegex {
  readonly node: RegexNode
  /** By number and name. */
  readonly groups: ReadonlyMap<string, RegexNode>
}

const MOST_DEPTH = 200
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, '0': 0 }
const isLook = /^(?:=|!|<=|<!)/

const matchRanges = (...ranges: readonly CodeRange[]): RegexNode => ({ type: 'codes', ranges })
const matchCode = (code: number): RegexNode => matchRanges([code, code])

class RegexReader {
  readonly #cursor: Cursor
  readonly #groups = new Map<string, RegexNode>()
  #count = 0
  #depth = 0

  constructor(pattern: string, what: string) {
    this.#cursor = new Cursor(pattern, what, (at) => `character ${at + 1}`)
  }

  read(): ParsedRegex {
    const node = this.#readAlternatives()
    if (!this.#cursor.isEnd) throw this.#cursor.error('there is a ) without its (')
    return { node, groups: this.#groups }
  }

  #readAlternatives(): RegexNode {
    const parts = [this.#readSequence()]
    while (this.#cursor.take('|')) parts.push(this.#readSequence())
    return parts.length === 1 ? parts[0]! : { type: 'either', parts }
  }

  #readSequence(): RegexNode {
    const parts: RegexNode[] = []
    while (!this.#cursor.isEnd && this.#cursor.peek() !== '|' && this.#cursor.peek() !== ')')
      parts.push(this.#readRepeated())
    return parts.length === 1 ? parts[0]! : { type: 'sequence', parts }
  }

  #readRepeated(): RegexNode {
    const cursor = this.#cursor
    const node = this.#readAtom()
    const start = cursor.at
    const counts = this.#takeQuantifier()
    if (!counts) return node
    if (counts.least > counts.most)
      throw cursor.error(`got {${counts.least},${counts.most}}, expected the smaller first`, start)
    cursor.take('?') // lazy: the same texts fit
    if (/^[*+?]$/.test(cursor.peek())) throw cursor.error('there is nothing to repeat')
    if (node.type === 'start' || node.type === 'end' || node.type === 'condition')
      throw cursor.error('there is nothing to repeat', start)
    return { type: 'repeat', of: node, least: counts.least, most: counts.most }
  }

  #takeQuantifier(): { least: number; most: number } | undefined {
    const cursor = this.#cursor
    if (cursor.take('*')) return { least: 0, most: Infinity }
    if (cursor.take('+')) return { least: 1, most: Infinity }
    if (cursor.take('?')) return { least: 0, most: 1 }
    return takeCounts(cursor)
  }

  #readAtom(): RegexNode {
    const cursor = this.#cursor
    const start = cursor.at
    const character = cursor.next()
    switch (character) {
      case '^':
        return { type: 'start' }
      case '$':
        return { type: 'end' }
      case '.':
        return matchRanges(...invertRanges(LINE_ENDS))
      case '(':
        return this.#readGroup(start)
      case '[':
        return this.#readClass(start)
      case '\\':
        return this.#readEscape(start)
      case '*':
      case '+':
      case '?':
        throw cursor.error('there is nothing to repeat', start)
      default:
        return matchCode(character.codePointAt(0)!)
    }
  }

  #readGroup(start: number): RegexNode {
    const cursor = this.#cursor
    if (++this.#depth > MOST_DEPTH)
      throw cursor.error(`over ${MOST_DEPTH} groups within each other`, start)
    let look = ''
    let name: string | undefined
    let number: number | undefined
    if (cursor.take('?')) {
      look = isLook.exec(cursor.peek() + cursor.peek(1))?.[0] ?? ''
      if (look !== '') cursor.take(look)
      else if (cursor.take('P<') || cursor.take('<')) name = this.#readName(start)
      else if (!cursor.take(':'))
        throw cursor.error(`a group of the kind (?${cursor.peek()} is not supported`, start)
    }
    if (look === '' && !this.#isPlainGroup(start)) number = ++this.#count
    const node = this.#readAlternatives()
    if (!cursor.take(')')) throw cursor.error('the group that begins here has no )', start)
    this.#depth--
    if (look !== '') return { type: 'condition', text: this.#textFrom(start), at: start }
    if (number !== undefined) this.#groups.set(String(number), node)
    if (name !== undefined) this.#groups.set(name, node)
    return node
  }

  /** Whether the group is written (?:…). */
  #isPlainGroup(start: number): boolean {
    return this.#textFrom(start) === '(?:'
  }

  #textFrom(start: number): string {
    const { at } = this.#cursor
    this.#cursor.at = start
    let text = ''
    while (this.#cursor.at < at) text += this.#cursor.next()
    return text
  }

  #readName(start: number): string {
    const name = this.#cursor.takeWhile((character) => /[\w$]/.test(character))
    if (name === '' || !this.#cursor.take('>'))
      throw this.#cursor.error('the name of a group has no end', start)
    return name
  }

  #readEscape(start: number): RegexNode {
    const cursor = this.#cursor
    const letter = cursor.peek()
    if (letter === 'b' || letter === 'B') {
      cursor.next()
      return { type: 'condition', text: `\\${letter}`, at: start }
    }
    if (letter >= '1' && letter <= '9')
      return { type: 'back', group: cursor.takeWhile(isDigit), at: start }
    if (letter === 'k' && cursor.peek(1) === '<') {
      cursor.take('k<')
      return { type: 'back', group: this.#readName(start), at: start }
    }
    return matchRanges(...this.#readClassEscape(start))
  }

  /** Behind a backslash: a class, or one character. */
  #readClassEscape(start: number): readonly CodeRange[] {
    const cursor = this.#cursor
    if (cursor.isEnd) throw cursor.error('nothing follows the \\', start)
    const letter = cursor.next()
    const ranges = letterClasses[letter]
    if (ranges && Object.hasOwn(letterClasses, letter)) return ranges
    if ((letter === 'p' || letter === 'P') && cursor.take('{')) {
      const name = cursor.takeWhile((character) => character !== '}')
      const property = cursor.take('}') ? findProperty(name) : undefined
      if (!property) throw cursor.error(`Unicode has no property "${name}"`, start)
      return letter === 'p' ? property : invertRanges(property)
    }
    const code = this.#readCode(letter, start)
    return [[code, code]]
  }

  #readCode(letter: string, start: number): number {
    const cursor = this.#cursor
    if (Object.hasOwn(controls, letter)) return controls[letter]!
    if (letter === 'c' && /[A-Za-z]/.test(cursor.peek())) return cursor.next().codePointAt(0)! % 32
    if (letter === 'x') return cursor.takeHex(2) ?? letter.codePointAt(0)!
    if (letter === 'u') return this.#readUnicode(start)
    if (/^[A-Za-z]$/.test(letter) && !/^[eaZAzGQE]$/.test(letter)) return letter.codePointAt(0)!
    if (/^[A-Za-z]$/.test(letter)) throw cursor.error(`\\${letter} is not supported`, start)
    return letter.codePointAt(0)!
  }

  #readUnicode(start: number): number {
    const cursor = this.#cursor
    if (cursor.take('{')) {
      const code = Number.parseInt(
        cursor.takeWhile((character) => /[0-9a-f]/i.test(character)),
        16,
      )
      if (!cursor.take('}') || !(code <= 0x10ffff))
        throw cursor.error('\\u{…} takes the hexadecimal digits of a code point', start)
      return code
    }
    const high = cursor.takeHex(4)
    if (high === undefined) return 'u'.codePointAt(0)!
    if (high < 0xd800 || high > 0xdbff) return high
    const back = cursor.at
    const low = cursor.take('\\u') ? cursor.takeHex(4) : undefined
    if (low !== undefined && low >= 0xdc00 && low <= 0xdfff)
      return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
    cursor.at = back
    throw cursor.error('half of a surrogate pair: no text contains it', start)
  }

  #readClass(start: number): RegexNode {
    const cursor = this.#cursor
    const isInverted = cursor.take('^')
    const ranges: CodeRange[] = []
    while (!cursor.take(']')) {
      if (cursor.isEnd) throw cursor.error('the class that begins here has no ]', start)
      const from = this.#readClassPart()
      const isRange = cursor.peek() === '-' && cursor.peek(1) !== ']' && cursor.peek(1) !== ''
      if (!isRange || from.length !== 1 || from[0]![0] !== from[0]![1]) {
        ranges.push(...from)
        continue
      }
      const dash = cursor.at
      cursor.take('-')
      const to = this.#readClassPart()
      const low = from[0]![0]
      const high = to[0]![1]
      // [\w-\d] and the like: the dash is literal.
      if (to.length !== 1 || to[0]![0] !== to[0]![1]) ranges.push(...from, ...to, [0x2d, 0x2d])
      else if (high < low) throw cursor.error('a range goes from the smaller character up', dash)
      else ranges.push([low, high])
    }
    return matchRanges(...(isInverted ? invertRanges(ranges) : ranges))
  }

  #readClassPart(): readonly CodeRange[] {
    const cursor = this.#cursor
    const start = cursor.at
    const character = cursor.next()
    if (character !== '\\') return [[character.codePointAt(0)!, character.codePointAt(0)!]]
    if (cursor.take('b')) return [[8, 8]]
    return this.#readClassEscape(start)
  }
}

/** Throws GrammarError that names the character. `what` names the pattern. */
export const parseRegex = (pattern: string, what: string): ParsedRegex =>
  new RegexReader(pattern, what).read()
