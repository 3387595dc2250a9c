// A cursor over a string's code points, for parsers that read character by character.

import { GrammarError } from '../../base/errors.ts'

export class Cursor {
  readonly #characters: readonly string[]
  readonly #describe: (at: number) => string
  readonly #what: string
  at = 0

  /** `what` and `describe` name the text and a place in it for errors. */
  constructor(
    text: string,
    what: string,
    describe: (at: number, text: readonly string[]) => string,
  ) {
    this.#characters = Array.from(text)
    this.#what = what
    this.#describe = (at) => describe(at, this.#characters)
  }

  get isEnd(): boolean {
    return this.at >= this.#characters.length
  }

  /** The character here, '' at the end. */
  peek(ahead = 0): string {
    return this.#characters[this.at + ahead] ?? ''
  }

  next(): string {
    return this.#characters[this.at++] ?? ''
  }

  /** Consumes a string if it is next. */
  take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.peek(i) !== text[i]) return false
    this.at += text.length
    return true
  }

  /** Takes characters as long as they fit. */
  takeWhile(fits: (character: string) => boolean): string {
    let taken = ''
    while (!this.isEnd && fits(this.peek())) taken += this.next()
    return taken
  }

  /** The code of exactly `count` hexadecimal digits; undefined, and nothing taken, without them. */
  takeHex(count: number): number | undefined {
    const digits = this.#characters.slice(this.at, this.at + count).join('')
    if (digits.length !== count || !/^[0-9a-f]+$/i.test(digits)) return undefined
    this.at += count
    return Number.parseInt(digits, 16)
  }

  error(problem: string, at = this.at): GrammarError {
    return new GrammarError(this.#what, this.#describe(at), problem)
  }
}

/** {m}, {m,} or {m,n}; undefined, and nothing taken, if there is none here. */
export function takeCounts(cursor: Cursor): { least: number; most: number } | undefined {
  const start = cursor.at
  if (!cursor.take('{')) return undefined
  const first = cursor.takeWhile(isDigit)
  const hasComma = cursor.take(',')
  const second = hasComma ? cursor.takeWhile(isDigit) : first
  if (!cursor.take('}') || (first === '' && second === '')) {
    cursor.at = start
    return undefined
  }
  return {
    least: first === '' ? 0 : Number(first),
    most: second === '' ? Infinity : Number(second),
  }
}

export const isDigit = (character: string): boolean => character >= '0' && character <= '9'
