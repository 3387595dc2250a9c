// The tokens of a template, read one after another by the parsers.

import { TemplateSyntaxError, type Token, type TokenKind } from './tokens.ts'

export class TokenReader {
  private at = 0
  private readonly tokens: readonly Token[]
  constructor(tokens: readonly Token[]) {
    this.tokens = tokens
  }

  get current(): Token | undefined {
    return this.tokens[this.at]
  }

  is(kind: TokenKind, text?: string): boolean {
    return isToken(this.tokens[this.at], kind, text)
  }

  /** Whether the token after the current one is such. */
  isNext(kind: TokenKind, text?: string): boolean {
    return isToken(this.tokens[this.at + 1], kind, text)
  }

  take(): Token {
    const token = this.tokens[this.at++]
    if (!token) throw this.fail('the template ends too early')
    return token
  }

  skip(kind: TokenKind, text?: string): boolean {
    if (!this.is(kind, text)) return false
    this.at++
    return true
  }

  /** Takes one of these signs, if one is next. */
  skipOneOf(signs: readonly string[]): string | undefined {
    const token = this.tokens[this.at]
    if (token?.kind !== 'sign' || !signs.includes(token.text)) return undefined
    this.at++
    return token.text
  }

  expect(kind: TokenKind, text?: string): Token {
    if (this.is(kind, text)) return this.take()
    const got = this.current === undefined ? 'the end' : `"${this.current.text}"`
    throw this.fail(`expected ${text === undefined ? `a ${kind}` : `"${text}"`}, got ${got}`)
  }

  fail(message: string, token = this.current ?? this.tokens.at(-1)): TemplateSyntaxError {
    return new TemplateSyntaxError(message, token?.line ?? 1)
  }
}

const isToken = (token: Token | undefined, kind: TokenKind, text?: string): boolean =>
  token?.kind === kind && (text === undefined || token.text === text)
