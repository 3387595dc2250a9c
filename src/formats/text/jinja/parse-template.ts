// Parses a template's statements: text, output, conditions, loops, assignments and macros.

import type { TemplateBlock, NamedCall, MacroParameter, Statement, Target } from './nodes.ts'
import { parseExpression, parseFilter, parseOr, parseTuple } from './parse-expression.ts'
import { TokenReader } from './token-reader.ts'
import { readTokens } from './tokens.ts'

/** The statements of a template. Throws TemplateSyntaxError, which names the line. */
export function parseTemplate(source: string): TemplateBlock {
  const reader = new TokenReader(readTokens(source))
  const body = parseBlock(reader, [])
  if (reader.current) throw reader.fail(`unexpected "${reader.current.text}"`)
  return body
}

/** Statements up to a tag of one of these names, of which the name is next to be taken. */
function parseBlock(reader: TokenReader, ends: readonly string[]): TemplateBlock {
  const body: Statement[] = []
  while (reader.current) {
    const token = reader.take()
    if (token.kind === 'text') body.push({ kind: 'text', text: token.text })
    else if (token.text === '{{') {
      body.push({ kind: 'print', value: parseTuple(reader) })
      reader.expect('end')
    } else {
      const name = reader.current
      if (name?.kind !== 'name') throw reader.fail('expected the name of a tag')
      if (ends.includes(name.text)) return body
      reader.take()
      const parse = tags[name.text]
      if (!parse) throw reader.fail(`there is no tag "${name.text}"`, name)
      body.push(...parse(reader))
    }
  }
  if (ends.length > 0) throw reader.fail(`the template ends without ${ends.join(' or ')}`)
  return body
}

/** The rest of a tag, its body and the whole end tag. */
function parseBody(reader: TokenReader, end: string): TemplateBlock {
  reader.expect('end')
  const body = parseBlock(reader, [end])
  reader.take()
  return body
}

type ParseTag = (reader: TokenReader) => readonly Statement[]

/** Each tag after its name, through its end. */
const tags: Readonly<Record<string, ParseTag>> = {
  if: parseIf,
  for: parseFor,
  set: parseSet,
  macro: parseMacro,
  call: parseCallBlock,
  filter: parseFilterBlock,
  with: parseWith,
  generation: parseGeneration,
  break: parseLoopControl('break'),
  continue: parseLoopControl('continue'),
}

function parseLoopControl(kind: 'break' | 'continue'): ParseTag {
  return (reader) => {
    reader.expect('end')
    return [{ kind }]
  }
}

function parseIf(reader: TokenReader): Statement[] {
  const branches: [ReturnType<typeof parseOr>, TemplateBlock][] = []
  for (;;) {
    const test = parseOr(reader)
    reader.expect('end')
    branches.push([test, parseBlock(reader, ['elif', 'else', 'endif'])])
    const word = reader.take().text
    if (word === 'elif') continue
    const otherwise = word === 'else' ? parseBody(reader, 'endif') : []
    reader.expect('end')
    return [{ kind: 'if', branches, otherwise }]
  }
}

function parseFor(reader: TokenReader): Statement[] {
  const target = parseTarget(reader)
  reader.expect('name', 'in')
  const items = parseLoopItems(reader)
  const filter = reader.skip('name', 'if') ? parseExpression(reader) : undefined
  const recursive = reader.skip('name', 'recursive')
  reader.expect('end')
  const body = parseBlock(reader, ['endfor', 'else'])
  const otherwise = reader.take().text === 'else' ? parseBody(reader, 'endfor') : []
  reader.expect('end')
  return [{ kind: 'for', target, items, filter, recursive, body, otherwise }]
}

function parseLoopItems(reader: TokenReader): ReturnType<typeof parseOr> {
  const items = [parseOr(reader)]
  let isTuple = false
  while (reader.skip('sign', ',')) {
    isTuple = true
    if (reader.is('end') || reader.is('name', 'if') || reader.is('name', 'recursive')) break
    items.push(parseOr(reader))
  }
  return isTuple ? { kind: 'tuple', items } : items[0]!
}

/** A name, names with commas or in parentheses, or `namespace.attribute`. */
function parseTarget(reader: TokenReader): Target {
  const items: Target[] = [parseOneTarget(reader)]
  let isTuple = false
  while (reader.skip('sign', ',')) {
    isTuple = true
    if (!reader.is('name') && !reader.is('sign', '(')) break
    items.push(parseOneTarget(reader))
  }
  return isTuple ? { kind: 'names', items } : items[0]!
}

function parseOneTarget(reader: TokenReader): Target {
  if (reader.skip('sign', '(')) {
    const inside = parseTarget(reader)
    reader.expect('sign', ')')
    return inside
  }
  const name = reader.expect('name').text
  return reader.skip('sign', '.')
    ? { kind: 'namespace', name, attribute: reader.expect('name').text }
    : { kind: 'name', name }
}

function parseSet(reader: TokenReader): Statement[] {
  const target = parseTarget(reader)
  if (reader.skip('sign', '=')) {
    const value = parseTuple(reader)
    reader.expect('end')
    return [{ kind: 'set', target, value }]
  }
  const filters = parseFilters(reader)
  const body = parseBody(reader, 'endset')
  reader.expect('end')
  return [{ kind: 'set-block', target, filters, body }]
}

function parseFilters(reader: TokenReader): NamedCall[] {
  const filters: NamedCall[] = []
  while (reader.skip('sign', '|')) filters.push(parseFilter(reader))
  return filters
}

function parseParameters(reader: TokenReader): MacroParameter[] {
  const parameters: MacroParameter[] = []
  reader.expect('sign', '(')
  while (!reader.skip('sign', ')')) {
    if (parameters.length > 0) reader.expect('sign', ',')
    if (reader.skip('sign', ')')) break
    const { text } = reader.expect('name')
    const standard = reader.skip('sign', '=') ? parseExpression(reader) : undefined
    if (standard === undefined && parameters.some((parameter) => parameter.standard))
      throw reader.fail(`parameter "${text}" has no default, but follows one that has`)
    parameters.push({ name: text, standard })
  }
  return parameters
}

function parseMacro(reader: TokenReader): Statement[] {
  const name = reader.expect('name').text
  const parameters = parseParameters(reader)
  const body = parseBody(reader, 'endmacro')
  reader.skip('name', name)
  reader.expect('end')
  return [{ kind: 'macro', name, parameters, body }]
}

function parseCallBlock(reader: TokenReader): Statement[] {
  const parameters = reader.is('sign', '(') ? parseParameters(reader) : []
  const call = parseExpression(reader)
  if (call.kind !== 'call') throw reader.fail('expected a call')
  const body = parseBody(reader, 'endcall')
  reader.expect('end')
  return [{ kind: 'call-block', call, parameters, body }]
}

function parseFilterBlock(reader: TokenReader): Statement[] {
  const filters = [parseFilter(reader), ...parseFilters(reader)]
  const body = parseBody(reader, 'endfilter')
  reader.expect('end')
  return [{ kind: 'filter-block', filters, body }]
}

function parseWith(reader: TokenReader): Statement[] {
  const values: [Target, ReturnType<typeof parseExpression>][] = []
  while (!reader.is('end')) {
    if (values.length > 0) reader.expect('sign', ',')
    const target = parseOneTarget(reader)
    reader.expect('sign', '=')
    values.push([target, parseExpression(reader)])
  }
  const body = parseBody(reader, 'endwith')
  reader.expect('end')
  return [{ kind: 'with', values, body }]
}

/** transformers' mark of the assistant's text: it shows its body. */
function parseGeneration(reader: TokenReader): Statement[] {
  const body = parseBody(reader, 'endgeneration')
  reader.expect('end')
  return [{ kind: 'with', values: [], body }]
}
