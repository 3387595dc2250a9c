// A grammar in the notation of the library that computes masks. Classes become byte ranges of
// UTF-8, parts without rules become rules that each write one text or class and continue in the
// next one, and nothing is nested: the library's parser has 64 KiB of stack.

import { OptionError } from '../../../base/errors.ts'
import {
  type CodeRange,
  type FreeText,
  type Grammar,
  type GrammarExpression,
  matchSequence,
} from '../grammar.ts'
import { createAutomaton, type State } from './automaton.ts'
import { countPositions } from './measure.ts'
import { listUtf8Ranges } from './utf8-ranges.ts'

/** States of one part at most: computing the masks of each takes up to 14 ms of 50,000 tokens. */
const MOST_STATES = 4000
/** A count of what refers to rules is written out so many times at most. */
const MOST_COUNT = 1000
/** Characters of a printed grammar: 4 MB take seconds to compile. */
const MOST_CHARACTERS = 4e6

/** Not \\x: the library takes all digits that follow. */
const printHex = (value: number): string => `\\u${value.toString(16).padStart(4, '0')}`

const createSizeError = (what: string): OptionError =>
  new OptionError(
    `The grammar is too large: ${what}. Make it smaller: fewer alternatives, or smaller counts.`,
  )

const isSingle = ([from, to]: CodeRange): boolean => from === to && from > 0x7f

/** Printable ASCII is literal, apart from characters with a meaning in a class. */
const printClassByte = (byte: number): string =>
  byte > 0x20 && byte < 0x7f && !'\\]^-['.includes(String.fromCharCode(byte))
    ? String.fromCharCode(byte)
    : printHex(byte)

/** A single byte occurs twice, because the library makes a text of it, where it is a character. */
const printByteClass = (ranges: readonly CodeRange[]): string =>
  `[${(ranges.length === 1 ? [...ranges, ...ranges.filter(isSingle)] : ranges)
    .map(([from, to]) =>
      from === to ? printClassByte(from) : `${printClassByte(from)}-${printClassByte(to)}`,
    )
    .join('')}]`

/** Sequences of byte classes, one for each form of the class in UTF-8; sequences that differ in one
 * byte only are joined. */
export function printCodes(ranges: readonly CodeRange[]): string[] {
  const forms = ranges.flatMap(listUtf8Ranges)
  const joined = new Map<string, { rest: string; first: CodeRange[] }>()
  for (const [first, ...rest] of forms) {
    const tail = rest.map((range) => ` ${printByteClass([range])}`).join('')
    const form = joined.get(tail)
    if (form) form.first.push(first!)
    else joined.set(tail, { rest: tail, first: [first!] })
  }
  return [...joined.values()].map(({ rest, first }) => printByteClass(first) + rest)
}

export const printText = (text: string): string =>
  `"${Array.from(text, (character) => {
    const code = character.codePointAt(0)!
    if (character === '"' || character === '\\') return `\\${character}`
    return code < 0x20 || code === 0x7f ? printHex(code) : character
  }).join('')}"`

class Printer {
  readonly lines: string[] = []
  readonly #names = new Map<string, string>()
  #count = 0
  #characters = 0

  nameRule(name: string): string {
    let printed = this.#names.get(name)
    if (printed === undefined) {
      printed = this.#names.size === 0 ? 'root' : `r${this.#count++}`
      this.#names.set(name, printed)
    }
    return printed
  }

  line(name: string, alternatives: readonly string[]): void {
    const line = `${name} ::= ${alternatives.join(' | ')}`
    this.#characters += line.length
    if (this.#characters > MOST_CHARACTERS)
      throw createSizeError(`over ${MOST_CHARACTERS} characters once it is written out`)
    this.lines.push(line)
  }

  /** Alternatives of an expression that is a rule's whole content. */
  alternatives(expression: GrammarExpression): string[] {
    if (expression.type === 'free') return [this.#free(expression)]
    if (isSimple(expression)) return this.#simple(expression)
    if (isRegular(expression)) return this.#states(expression, '')
    if (expression.type === 'either')
      return expression.parts.flatMap((part) => this.alternatives(part))
    if (expression.type === 'sequence') return this.#sequence(expression.parts)
    return [this.#atom(expression)]
  }

  /**
   * From the last part to the first: the states of parts without rules continue in what follows, so
   * that only few tokens reach over the end of a rule.
   */
  #sequence(parts: readonly GrammarExpression[]): string[] {
    let rest: string[] = ['']
    for (const group of groupRegular(parts).toReversed()) {
      const behind = rest.length === 1 ? rest[0]! : this.#add(rest)
      if (isRegular(group) && !isSimple(group)) rest = this.#states(group, behind)
      else if (isSimple(group)) rest = this.#simple(group).map((form) => join(form, behind))
      else rest = [join(this.#atom(group), behind)]
    }
    return rest
  }

  /** What may be within a sequence. */
  #atom(expression: GrammarExpression): string {
    if (expression.type === 'text') return printText(expression.text)
    if (expression.type === 'rule') return this.nameRule(expression.name)
    if (expression.type === 'repeat' && !isRegular(expression)) return this.#repeat(expression)
    const printed = this.alternatives(expression)
    if (printed.length === 1 && expression.type !== 'free') return printed[0]!
    return this.#add(printed)
  }

  /**
   * Counts become rules that continue in each other, so that masks are computed when it is
   * compiled.
   */
  #repeat({ of, least, most }: GrammarExpression & { readonly type: 'repeat' }): string {
    const count = most === Infinity ? least : most
    if (count > MOST_COUNT)
      throw createSizeError(`a count of ${count} where at most ${MOST_COUNT} can be written out`)
    const one = this.#atom(of)
    let rest = most === Infinity ? this.#loop(one) : ''
    for (let i = count - 1; i >= 0; i--) {
      const more = join(one, rest)
      rest = this.#add(i >= least ? ['""', more] : [more])
    }
    return rest === '' ? '""' : rest
  }

  #loop(one: string): string {
    const name = this.#reserve()
    this.line(name, ['""', join(one, name)])
    return name
  }

  #add(alternatives: readonly string[]): string {
    const name = this.#reserve()
    this.line(name, alternatives)
    return name
  }

  #reserve(): string {
    return `x${this.#count++}`
  }

  #simple(expression: GrammarExpression): string[] {
    if (expression.type === 'either') return expression.parts.flatMap((part) => this.#simple(part))
    if (expression.type === 'text') return [printText(expression.text)]
    return printCodes((expression as { readonly ranges: readonly CodeRange[] }).ranges)
  }

  /** The first state's alternatives; the others become rules. `behind` follows the last ones. */
  #states(expression: GrammarExpression, behind: string): string[] {
    const names = new Map<State, string>()
    const waiting: State[] = []
    const end = behind.includes(' ') ? this.#add([behind]) : behind
    const name = (state: State): string => {
      if (state.steps.length === 0) return end
      let printed = names.get(state)
      if (printed === undefined) {
        printed = `s${this.#count++}`
        names.set(state, printed)
        waiting.push(state)
      }
      return printed
    }
    const print = ({ isEnd, steps }: State): string[] => [
      ...(isEnd ? [end === '' ? '""' : end] : []),
      ...steps.flatMap(({ atom, to }) => this.#simple(atom).map((form) => join(form, name(to)))),
    ]
    const first = print(createAutomaton(expression))
    for (let state = waiting.pop(); state; state = waiting.pop())
      this.line(names.get(state)!, print(state))
    return first
  }

  #free({ triggers, stops, goesOn }: FreeText): string {
    const pairs = triggers.map(({ text, rule }) => `(${printText(text)}, ${this.nameRule(rule)}), `)
    return `TagDispatch(${pairs.join('')}stop_eos=${stops.length === 0}, stop_str=(${stops.map(printText).join(', ')}), loop_after_dispatch=${goesOn})`
  }
}

const join = (first: string, second: string): string =>
  second === '' ? first : first === '' ? second : `${first} ${second}`

const isRegular = (expression: GrammarExpression): boolean => {
  const positions = countPositions(expression)
  if (positions > MOST_STATES && positions < Infinity && expression.type === 'repeat')
    throw createSizeError(`a repeat of ${positions} texts and classes; ${MOST_STATES} are possible`)
  return positions <= MOST_STATES
}

/** Parts without rules that are adjacent are one part. */
function groupRegular(parts: readonly GrammarExpression[]): GrammarExpression[] {
  const groups: GrammarExpression[] = []
  for (const part of parts) {
    const last = groups.at(-1)
    const joined = last && matchSequence(last, part)
    if (joined && isRegular(last) && isRegular(part) && isRegular(joined))
      groups.splice(-1, 1, joined)
    else groups.push(part)
  }
  return groups
}

/** Texts and classes alone, or a choice of them. */
const isSimple = (expression: GrammarExpression): boolean =>
  expression.type === 'text' ||
  expression.type === 'codes' ||
  (expression.type === 'either' && expression.parts.every(isSimple))

/** Prints a simplified grammar; its first rule is `root`. */
export function printGrammar({ root, rules }: Grammar): string {
  const printer = new Printer()
  printer.nameRule(root)
  for (const [name, expression] of rules)
    printer.line(printer.nameRule(name), printer.alternatives(expression))
  return printer.lines.join('\n')
}
