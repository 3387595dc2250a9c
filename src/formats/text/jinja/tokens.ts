// Splits a Jinja template into tokens, with the whitespace rules that transformers sets
// (trim_blocks and lstrip_blocks). Independent of what the tokens mean.

export type TokenKind = 'text' | 'begin' | 'end' | 'name' | 'string' | 'integer' | 'float' | 'sign'

/** `begin` and `end` hold `{{`, `}}`, `{%` or `%}`; `string` has its escapes resolved. */
export interface Token {
  readonly kind: TokenKind
  readonly text: string
  readonly line: number
}

/** A template that is not valid Jinja; the line counts from 1. */
export class TemplateSyntaxError extends Error {
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`)
  }
}

const opening = /\{(?:\{|%|#)([-+]?)/g
const rawOpening = /\{%[-+]?\s*raw\s*(?:-%\}\s*|%\})/y
const rawEnd = /\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)/g
const commentEnd = /(?:\+#\}|-#\}\s*|#\}\n?)/g
const blockEnd = /(?:\+%\}|-%\}\s*|%\}\n?)/y
const variableEnd = /(?:-\}\}\s*|\}\})/y
const space = /\s+/y
const float = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/y
const integer = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|\d+(?:_\d+)*/y
const name = /[\p{L}\p{N}_]+/uy
const text = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/sy
const sign = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y

const escapes: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** What Python's string literal means; an unknown escape keeps its backslash. */
const readStringLiteral = (quoted: string): string =>
  quoted
    .slice(1, -1)
    .replace(
      /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|(.))/gs,
      (whole, x?: string, u?: string, long?: string, octal?: string, one?: string) => {
        const hex = x ?? u ?? long
        if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16))
        if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8))
        return escapes[one!] ?? whole
      },
    )

/** As Jinja reads a file: line ends are `\n`, and one at the very end goes. */
const normalizeLines = (source: string): string => source.replace(/\r\n?/g, '\n').replace(/\n$/, '')

const matchAt = (pattern: RegExp, source: string, at: number): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(source)?.[0]
}

/** The text before a tag, without what the tag strips. */
function trimBefore(before: string, mark: string, isVariable: boolean, startsLine: boolean) {
  if (mark === '-') return before.trimEnd()
  if (mark === '+' || isVariable) return before
  const line = before.lastIndexOf('\n') + 1
  return (line > 0 || startsLine) && /^\s+$/.test(before.slice(line))
    ? before.slice(0, line)
    : before
}

/** Reads one template from the start to the end. */
class Lexer {
  private readonly tokens: Token[] = []
  private at = 0
  private startsLine = true
  private readonly source: string
  constructor(source: string) {
    this.source = normalizeLines(source)
  }

  read(): Token[] {
    while (this.at < this.source.length) {
      opening.lastIndex = this.at
      const found = opening.exec(this.source)
      if (!found) {
        this.add('text', this.source.slice(this.at))
        break
      }
      this.readTag(found.index, found[0].slice(0, 2), found[1]!)
    }
    return this.tokens
  }

  private get line(): number {
    return this.source.slice(0, this.at).split('\n').length
  }

  private add(kind: TokenKind, value: string): void {
    if (kind !== 'text' || value !== '') this.tokens.push({ kind, text: value, line: this.line })
  }

  private advance(end: number): void {
    if (end > this.at) this.startsLine = this.source[end - 1] === '\n'
    this.at = end
  }

  private readTag(start: number, mark: string, strip: string): void {
    const before = this.source.slice(this.at, start)
    this.add('text', trimBefore(before, strip, mark === '{{', this.startsLine))
    const raw = mark === '{%' ? matchAt(rawOpening, this.source, start) : undefined
    this.advance(start + (raw?.length ?? mark.length + strip.length))
    if (raw !== undefined) this.readRaw()
    else if (mark === '{#') this.skipComment()
    else this.readTokens(mark, mark === '{{' ? variableEnd : blockEnd)
  }

  private readRaw(): void {
    rawEnd.lastIndex = this.at
    const end = rawEnd.exec(this.source)
    if (!end) throw new TemplateSyntaxError('"raw" has no "endraw"', this.line)
    const inside = this.source.slice(this.at, end.index)
    this.add('text', trimBefore(inside, end[1]!, false, this.startsLine))
    this.advance(end.index + end[0].length)
  }

  private skipComment(): void {
    commentEnd.lastIndex = this.at
    const end = commentEnd.exec(this.source)
    if (!end) throw new TemplateSyntaxError('a comment has no end "#}"', this.line)
    this.advance(end.index + end[0].length)
  }

  private readTokens(mark: string, end: RegExp): void {
    this.add('begin', mark)
    const open: string[] = []
    for (;;) {
      if (this.at >= this.source.length)
        throw new TemplateSyntaxError(`"${mark}" has no end`, this.line)
      const closing = open.length === 0 ? matchAt(end, this.source, this.at) : undefined
      if (closing !== undefined) {
        this.add('end', mark)
        return this.advance(this.at + closing.length)
      }
      this.readToken(open)
    }
  }

  private readToken(open: string[]): void {
    const { source, at } = this
    const take = (kind: TokenKind, pattern: RegExp, read = (value: string) => value): boolean => {
      const found = matchAt(pattern, source, at)
      if (found === undefined) return false
      this.add(kind, read(found))
      this.advance(at + found.length)
      return true
    }
    const blank = matchAt(space, source, at)
    if (blank !== undefined) return this.advance(at + blank.length)
    if (take('float', float) || take('integer', integer) || take('name', name)) return
    if (take('string', text, readStringLiteral)) return
    const found = matchAt(sign, source, at)
    if (found === undefined)
      throw new TemplateSyntaxError(`unexpected character ${JSON.stringify(source[at])}`, this.line)
    if ('([{'.includes(found)) open.push({ '(': ')', '[': ']', '{': '}' }[found]!)
    else if (')]}'.includes(found) && open.pop() !== found)
      throw new TemplateSyntaxError(`unexpected "${found}"`, this.line)
    this.add('sign', found)
    this.advance(at + found.length)
  }
}

/** The tokens of a template. Throws TemplateSyntaxError. */
export const readTokens = (source: string): Token[] => new Lexer(source).read()
