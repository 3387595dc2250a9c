// Parses the expressions of a template, with Jinja's precedence: a filter binds tighter than `**`,
// `~` tighter than `+`.

import type { CallArguments, Expression, NamedCall, SlicePart } from './nodes.ts'
import type { TokenReader } from './token-reader.ts'
import { Float, normalizeInteger } from './values.ts'

/** `a if b else c`, the widest expression. */
export function parseExpression(reader: TokenReader): Expression {
  let value = parseOr(reader)
  while (reader.skip('name', 'if')) {
    const test = parseOr(reader)
    const otherwise = reader.skip('name', 'else') ? parseExpression(reader) : undefined
    value = { kind: 'choice', test, chosen: value, otherwise }
  }
  return value
}

/** An expression without `if`, as the items of a loop are. */
export function parseOr(reader: TokenReader): Expression {
  let left = parseAnd(reader)
  while (reader.skip('name', 'or'))
    left = { kind: 'binary', sign: 'or', left, right: parseAnd(reader) }
  return left
}

function parseAnd(reader: TokenReader): Expression {
  let left = parseNot(reader)
  while (reader.skip('name', 'and'))
    left = { kind: 'binary', sign: 'and', left, right: parseNot(reader) }
  return left
}

const parseNot = (reader: TokenReader): Expression =>
  reader.skip('name', 'not')
    ? { kind: 'unary', sign: 'not', of: parseNot(reader) }
    : parseComparison(reader)

const comparisons = ['==', '!=', '<', '<=', '>', '>=']

function parseComparison(reader: TokenReader): Expression {
  const first = parseSum(reader)
  const rest: [string, Expression][] = []
  for (;;) {
    const sign = reader.skipOneOf(comparisons)
    if (sign !== undefined) rest.push([sign, parseSum(reader)])
    else if (reader.skip('name', 'in')) rest.push(['in', parseSum(reader)])
    else if (reader.is('name', 'not') && reader.isNext('name', 'in')) {
      reader.take()
      reader.take()
      rest.push(['not in', parseSum(reader)])
    } else return rest.length === 0 ? first : { kind: 'comparison', first, rest }
  }
}

/** A chain of binary operators that group to the left. */
const parseChain =
  (signs: readonly string[], parseOperand: (reader: TokenReader) => Expression) =>
  (reader: TokenReader): Expression => {
    let left = parseOperand(reader)
    for (;;) {
      const sign = reader.skipOneOf(signs)
      if (sign === undefined) return left
      left = { kind: 'binary', sign, left, right: parseOperand(reader) }
    }
  }

const parsePower = parseChain(['**'], (reader) => parseUnary(reader))
const parseProduct = parseChain(['*', '/', '//', '%'], parsePower)
const parseSum = parseChain(['+', '-'], parseConcatenation)

function parseConcatenation(reader: TokenReader): Expression {
  const items = [parseProduct(reader)]
  while (reader.skip('sign', '~')) items.push(parseProduct(reader))
  return items.length === 1 ? items[0]! : { kind: 'concat', items }
}

function parseUnary(reader: TokenReader, withFilters = true): Expression {
  const sign = reader.skipOneOf(['-', '+'])
  const value: Expression =
    sign === '-' || sign === '+'
      ? { kind: 'unary', sign, of: parseUnary(reader, false) }
      : parsePrimary(reader)
  const complete = parsePostfix(reader, value)
  return withFilters ? parseFilters(reader, complete) : complete
}

const constants: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
}

function parsePrimary(reader: TokenReader): Expression {
  const token = reader.take()
  if (token.kind === 'name')
    return Object.hasOwn(constants, token.text)
      ? { kind: 'constant', value: constants[token.text] }
      : { kind: 'name', name: token.text }
  if (token.kind === 'string') {
    let value = token.text
    while (reader.is('string')) value += reader.take().text
    return { kind: 'constant', value }
  }
  if (token.kind === 'integer')
    return { kind: 'constant', value: normalizeInteger(BigInt(token.text.replaceAll('_', ''))) }
  if (token.kind === 'float')
    return { kind: 'constant', value: new Float(Number(token.text.replaceAll('_', ''))) }
  if (token.kind === 'sign' && token.text === '(') {
    const value = parseTuple(reader, ')', true)
    reader.expect('sign', ')')
    return value
  }
  if (token.kind === 'sign' && token.text === '[')
    return { kind: 'list', items: parseItems(reader, ']', parseExpression) }
  if (token.kind === 'sign' && token.text === '{')
    return { kind: 'dict', entries: parseItems(reader, '}', parseEntry) }
  throw reader.fail(`unexpected "${token.text}"`, token)
}

function parseEntry(reader: TokenReader): [Expression, Expression] {
  const key = parseExpression(reader)
  reader.expect('sign', ':')
  return [key, parseExpression(reader)]
}

/** Items with commas, and the sign that closes them. */
function parseItems<Item>(
  reader: TokenReader,
  close: string,
  parseItem: (reader: TokenReader) => Item,
): Item[] {
  const items: Item[] = []
  while (!reader.skip('sign', close)) {
    if (items.length > 0) reader.expect('sign', ',')
    if (reader.skip('sign', close)) break
    items.push(parseItem(reader))
  }
  return items
}

/** One expression, or a tuple where a comma follows. `close` ends it, or the end of the tag. */
export function parseTuple(reader: TokenReader, close?: string, mayBeEmpty = false): Expression {
  const items: Expression[] = []
  let isTuple = false
  const atEnd = (): boolean => (close === undefined ? reader.is('end') : reader.is('sign', close))
  while (!atEnd()) {
    items.push(parseExpression(reader))
    if (!reader.skip('sign', ',')) break
    isTuple = true
  }
  if (!isTuple && items.length === 1) return items[0]!
  if (items.length === 0 && !mayBeEmpty) throw reader.fail('expected an expression')
  return { kind: 'tuple', items }
}

function parsePostfix(reader: TokenReader, start: Expression): Expression {
  let value = start
  for (;;) {
    if (reader.skip('sign', '.')) value = parseMember(reader, value)
    else if (reader.skip('sign', '[')) value = parseSubscript(reader, value)
    else if (reader.is('sign', '(')) value = parseCall(reader, value)
    else return value
  }
}

function parseMember(reader: TokenReader, of: Expression): Expression {
  const token = reader.take()
  if (token.kind === 'name') return { kind: 'attribute', of, name: token.text }
  if (token.kind === 'integer')
    return { kind: 'item', of, key: { kind: 'constant', value: Number(token.text) } }
  throw reader.fail(`expected a name after ".", got "${token.text}"`, token)
}

function parseSubscript(reader: TokenReader, of: Expression): Expression {
  const parts = parseSlice(reader)
  if (parts.length > 1) {
    reader.expect('sign', ']')
    return { kind: 'slice', of, parts }
  }
  const first = parts[0]!
  if (reader.skip('sign', ']')) return { kind: 'item', of, key: first }
  reader.expect('sign', ',')
  const rest = parseItems(reader, ']', parseExpression)
  return { kind: 'item', of, key: { kind: 'tuple', items: [first, ...rest] } }
}

/** What is in brackets: one key, or the parts of a slice. */
function parseSlice(reader: TokenReader): SlicePart[] {
  const parsePart = (): SlicePart =>
    reader.is('sign', ':') || reader.is('sign', ']') ? undefined : parseExpression(reader)
  const parts = [parsePart()]
  while (parts.length < 3 && reader.skip('sign', ':')) parts.push(parsePart())
  if (parts.length === 1 && parts[0] === undefined) throw reader.fail('expected a subscript')
  return parts
}

export const parseCall = (
  reader: TokenReader,
  callee: Expression,
): Extract<Expression, { kind: 'call' }> => ({
  kind: 'call',
  callee,
  args: parseArguments(reader),
})

function parseArguments(reader: TokenReader): CallArguments {
  reader.expect('sign', '(')
  const positional: Expression[] = []
  const named: [string, Expression][] = []
  const spread: { list?: Expression; named?: Expression } = {}
  parseItems(reader, ')', () => {
    if (reader.skip('sign', '*')) spread.list = parseExpression(reader)
    else if (reader.skip('sign', '**')) spread.named = parseExpression(reader)
    else if (reader.is('name') && reader.isNext('sign', '=')) {
      const { text } = reader.take()
      reader.take()
      named.push([text, parseExpression(reader)])
    } else if (named.length > 0) throw reader.fail('a positional argument follows a named one')
    else positional.push(parseExpression(reader))
  })
  return { positional, named, spread: spread.list, spreadNamed: spread.named }
}

const noArguments: CallArguments = { positional: [], named: [] }

/** Filters, tests and calls after an expression. */
function parseFilters(reader: TokenReader, start: Expression): Expression {
  let value = start
  for (;;) {
    if (reader.skip('sign', '|')) value = { kind: 'filter', of: value, call: parseFilter(reader) }
    else if (reader.skip('name', 'is')) value = parseTest(reader, value)
    else if (reader.is('sign', '(')) value = parseCall(reader, value)
    else return value
  }
}

/** A filter's name and arguments, without the `|`. */
export function parseFilter(reader: TokenReader): NamedCall {
  const name = parseDottedName(reader)
  return { name, args: reader.is('sign', '(') ? parseArguments(reader) : noArguments }
}

function parseDottedName(reader: TokenReader): string {
  let name = reader.expect('name').text
  while (reader.skip('sign', '.')) name += `.${reader.expect('name').text}`
  return name
}

function parseTest(reader: TokenReader, of: Expression): Expression {
  const negated = reader.skip('name', 'not')
  const name = parseDottedName(reader)
  const call = (args: CallArguments): Expression => ({
    kind: 'test',
    of,
    call: { name, args },
    negated,
  })
  if (reader.is('sign', '(')) return call(parseArguments(reader))
  const hasArgument =
    (['name', 'string', 'integer', 'float'] as const).some((kind) => reader.is(kind)) ||
    ['[', '{'].some((sign) => reader.is('sign', sign))
  if (!hasArgument || ['else', 'or', 'and'].some((word) => reader.is('name', word)))
    return call(noArguments)
  if (reader.is('name', 'is')) throw reader.fail('tests cannot be chained with "is"')
  return call({ positional: [parsePostfix(reader, parsePrimary(reader))], named: [] })
}
