// JSON's own grammar: strings, numbers, any value, white space between the signs.

import {
  type CodeRange,
  type GrammarExpression,
  intersectRanges,
  invertRanges,
  matchCodes,
  matchEither,
  matchOptional,
  matchRepeat,
  matchRule,
  matchSequence,
  matchText,
  type RuleBook,
} from '../grammar.ts'

/** Digits of a number at most, before and after the point: more than a double can represent. */
export const MOST_DIGITS = 16

export const DIGIT = matchCodes([[0x30, 0x39]])
const NONZERO = matchCodes([[0x31, 0x39]])
const HEX = matchCodes([
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
])

/** Characters that are literal in a string. */
const PLAIN: readonly CodeRange[] = invertRanges([
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
])

const SHORT_ESCAPES: Readonly<Record<number, string>> = {
  0x08: '\\b',
  0x09: '\\t',
  0x0a: '\\n',
  0x0c: '\\f',
  0x0d: '\\r',
  0x22: '\\"',
  0x5c: '\\\\',
}

const repeatTimes = (of: GrammarExpression, count: number): GrammarExpression =>
  matchRepeat(of, count, count)

/** \u and four digits of what is no half of a surrogate pair, so that the text stays UTF-8. */
const UNICODE_ESCAPE = matchSequence(
  matchText('\\u'),
  matchEither(
    matchSequence(
      matchCodes([
        [0x30, 0x39],
        [0x41, 0x43],
        [0x45, 0x46],
        [0x61, 0x63],
        [0x65, 0x66],
      ]),
      repeatTimes(HEX, 3),
    ),
    matchSequence(
      matchCodes([
        [0x44, 0x44],
        [0x64, 0x64],
      ]),
      matchCodes([[0x30, 0x37]]),
      repeatTimes(HEX, 2),
    ),
  ),
)

const SHORT_ESCAPE = matchSequence(
  matchText('\\'),
  matchCodes([...'"\\/bfnrt'].map((letter) => [letter.codePointAt(0)!, letter.codePointAt(0)!])),
)

/** One character of a JSON string, with escapes of two signs. */
const COUNTED_CHARACTER = matchEither(matchCodes(PLAIN), SHORT_ESCAPE)

/** One character of a JSON string, all escapes included. */
export const STRING_CHARACTER = matchEither(COUNTED_CHARACTER, UNICODE_ESCAPE)

/** One without an escape. */
export const PLAIN_CHARACTER = matchCodes(PLAIN)

export const matchString = (content: GrammarExpression): GrammarExpression =>
  matchSequence(matchText('"'), content, matchText('"'))

/** A JSON value as its shortest text. */
export const matchJson = (value: unknown): GrammarExpression => matchText(JSON.stringify(value))

/** The texts of an expression as JSON writes them between quotation marks. */
export function escapeForJson(expression: GrammarExpression): GrammarExpression {
  switch (expression.type) {
    case 'text':
      return matchText(JSON.stringify(expression.text).slice(1, -1))
    case 'codes':
      return matchEither(
        matchCodes(intersectRanges(expression.ranges, PLAIN)),
        ...listEscapes(expression.ranges),
      )
    case 'sequence':
      return matchSequence(...expression.parts.map(escapeForJson))
    case 'either':
      return matchEither(...expression.parts.map(escapeForJson))
    case 'repeat':
      return matchRepeat(escapeForJson(expression.of), expression.least, expression.most)
    case 'rule':
    case 'free':
      throw new Error(`internal: a pattern has no ${expression.type}`)
  }
}

const listEscapes = (ranges: readonly CodeRange[]): GrammarExpression[] =>
  [...Array.from({ length: 0x20 }, (_, code) => code), 0x22, 0x5c].flatMap((code) =>
    ranges.some(([from, to]) => from <= code && code <= to)
      ? [matchText(SHORT_ESCAPES[code] ?? `\\u${code.toString(16).padStart(4, '0')}`)]
      : [],
  )

/** -?(0|[1-9][0-9]*) */
export const INTEGER = matchSequence(
  matchOptional(matchText('-')),
  matchEither(matchText('0'), matchSequence(NONZERO, matchRepeat(DIGIT, 0, MOST_DIGITS - 1))),
)

/** The exponent has two digits, so that the number stays finite. */
export const NUMBER = matchSequence(
  INTEGER,
  matchOptional(matchSequence(matchText('.'), matchRepeat(DIGIT, 1, MOST_DIGITS))),
  matchOptional(
    matchSequence(
      matchCodes([
        [0x45, 0x45],
        [0x65, 0x65],
      ]),
      matchOptional(
        matchCodes([
          [0x2b, 0x2b],
          [0x2d, 0x2d],
        ]),
      ),
      matchRepeat(DIGIT, 1, 2),
    ),
  ),
)

const SPACE = matchCodes([[0x20, 0x20]])

/**
 * Nothing, a space, or a line break with spaces behind it. Not its own rule, because tokens that
 * begin with a space reach over its end; the spaces are not counted, because each count would be a
 * state at every place of a schema.
 */
const SPACES = matchOptional(
  matchEither(SPACE, matchSequence(matchText('\n'), matchRepeat(SPACE, 0, Infinity))),
)

/** The rules of JSON in a grammar, each made when it is first asked for. */
export class JsonRules {
  readonly book: RuleBook
  readonly #made = new Map<string, GrammarExpression>()
  readonly #hasSpace: boolean

  constructor(book: RuleBook, whitespace: 'free' | 'none') {
    this.book = book
    this.#hasSpace = whitespace === 'free'
  }

  get space(): GrammarExpression {
    return this.#hasSpace ? SPACES : matchText('')
  }

  get string(): GrammarExpression {
    return this.#make('string', () => matchString(matchRepeat(STRING_CHARACTER, 0, Infinity)))
  }

  /** Its characters are counted as it is written: an escape has two signs, so that each is one. */
  get countedString(): GrammarExpression {
    return this.#make('counted', () => matchString(matchRepeat(COUNTED_CHARACTER, 0, Infinity)))
  }

  get number(): GrammarExpression {
    return this.#make('number', () => NUMBER)
  }

  get integer(): GrammarExpression {
    return this.#make('integer', () => INTEGER)
  }

  get value(): GrammarExpression {
    return this.#make('value', () =>
      matchEither(
        this.object,
        this.array,
        this.string,
        this.number,
        matchText('true'),
        matchText('false'),
        matchText('null'),
      ),
    )
  }

  get object(): GrammarExpression {
    return this.#make('object', () =>
      this.list('{', '}', this.pair(this.string, this.value), 0, Infinity),
    )
  }

  get array(): GrammarExpression {
    return this.#make('array', () => this.list('[', ']', this.value, 0, Infinity))
  }

  pair(key: GrammarExpression, value: GrammarExpression): GrammarExpression {
    return matchSequence(key, this.space, matchText(':'), this.space, value)
  }

  get comma(): GrammarExpression {
    return matchSequence(this.space, matchText(','), this.space)
  }

  /** From `least` to `most` items between signs. */
  list(
    open: string,
    close: string,
    item: GrammarExpression,
    least: number,
    most: number,
  ): GrammarExpression {
    const items = matchSequence(
      item,
      matchRepeat(matchSequence(this.comma, item), Math.max(0, least - 1), most - 1),
    )
    return this.enclose(
      open,
      close,
      least > 0 ? items : most > 0 ? matchOptional(items) : matchText(''),
    )
  }

  /** Content between signs, with room for white space; without content only the signs. */
  enclose(open: string, close: string, content: GrammarExpression): GrammarExpression {
    return matchSequence(matchText(open), this.space, content, this.#beforeEnd(content, close))
  }

  #beforeEnd(content: GrammarExpression, close: string): GrammarExpression {
    const isEmpty = content.type === 'text' && content.text === ''
    return isEmpty ? matchText(close) : matchSequence(this.space, matchText(close))
  }

  #make(name: string, create: () => GrammarExpression): GrammarExpression {
    const before = this.#made.get(name)
    if (before) return before
    const rule = this.book.reserve(name)
    this.#made.set(name, matchRule(rule))
    this.book.fill(rule, create())
    return matchRule(rule)
  }
}
