// The answer is the row's Cypher query but for spelling: case of keywords and functions, white
// space, comments, quotes, the names of variables and a final semicolon. Equivalent queries in
// another form do not match, because there is no database to run them on.

import { type Metric, scoreBinary } from '../metric.ts'

type TokenKind = 'name' | 'quoted-name' | 'text' | 'number' | 'sign'

interface Token {
  readonly kind: TokenKind
  readonly text: string
}

const patterns = [
  String.raw`(?<space>\s+|//[^\n]*|/\*[^]*?\*/)`,
  String.raw`(?<name>[\p{L}_$][\p{L}\p{N}_$]*)`,
  '(?<quoted>`(?:[^`]|``)*`)',
  String.raw`(?<text>'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*")`,
  String.raw`(?<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)`,
  String.raw`(?<sign><>|<=|>=|=~|\+=|->|<-|\.\.|[^])`,
]
const tokenPattern = new RegExp(patterns.join('|'), 'gu')

const quote = (text: string): string =>
  `'${text
    .slice(1, -1)
    .replaceAll(/\\(["'])/gu, '$1')
    .replaceAll("'", String.raw`\'`)}'`

function splitTokens(query: string): Token[] {
  const tokens: Token[] = []
  for (const { groups } of query.matchAll(tokenPattern)) {
    const { name, quoted, text, number, sign } = groups!
    if (name !== undefined) tokens.push({ kind: 'name', text: name })
    else if (quoted !== undefined) tokens.push({ kind: 'quoted-name', text: quoted.slice(1, -1) })
    else if (text !== undefined) tokens.push({ kind: 'text', text: quote(text) })
    else if (number !== undefined) tokens.push({ kind: 'number', text: String(Number(number)) })
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign })
  }
  while (tokens.at(-1)?.text === ';') tokens.pop()
  return tokens
}

const isName = (token: Token | undefined): boolean =>
  token?.kind === 'name' || token?.kind === 'quoted-name'

/**
 * Whether the name at `i` is a property, a label, a type or a key of a map, which keep their names.
 */
function isFixedName(tokens: readonly Token[], i: number): boolean {
  const before = tokens[i - 1]?.text
  if (before === '.' || before === ':' || before === '|' || before === '&') return true
  return tokens[i + 1]?.text === ':' && (before === '{' || before === ',')
}

/** Names that a pattern, AS or UNWIND binds: `(m:Movie)`, `[r]`, `p = (`, `AS total`. */
function findVariables(tokens: readonly Token[]): Set<string> {
  const found = new Set<string>()
  for (const [i, token] of tokens.entries()) {
    if (!isName(token) || isFixedName(tokens, i)) continue
    const before = tokens[i - 1]
    const after = tokens[i + 1]?.text
    const opens = before?.text === '(' || before?.text === '['
    // count(m) calls a function; MATCH (m) and a path's second (m) follow no name or a keyword
    const inPattern = opens && !(isName(tokens[i - 2]) && before?.text === '(' && isCall(tokens, i))
    if (inPattern && (after === ':' || after === ')' || after === ']' || after === '{'))
      found.add(token.text)
    if (before?.text.toUpperCase() === 'AS') found.add(token.text)
    if (after === '=' && tokens[i + 2]?.text === '(') found.add(token.text)
    if (after?.toUpperCase() === 'IN' && opens) found.add(token.text)
  }
  return found
}

const patternWords = new Set([
  'MATCH',
  'MERGE',
  'CREATE',
  'EXISTS',
  'WHERE',
  'AND',
  'OR',
  'NOT',
  'IN',
])
const isCall = (tokens: readonly Token[], i: number): boolean =>
  !patternWords.has(tokens[i - 2]!.text.toUpperCase())

/** The query in one spelling: tokens with blanks between, variables numbered in order. */
export function normalizeCypher(query: string): string {
  const tokens = splitTokens(extractCypher(query))
  const variables = findVariables(tokens)
  const numbers = new Map<string, string>()
  const words = tokens.map((token, i) => {
    if (!isName(token)) return token.text
    const { kind, text } = token
    if (isFixedName(tokens, i)) return `\`${text}\``
    if (!variables.has(text)) return kind === 'name' ? text.toUpperCase() : `\`${text}\``
    if (!numbers.has(text)) numbers.set(text, `$v${numbers.size + 1}`)
    return numbers.get(text)!
  })
  return words.join(' ')
}

/** The Cypher of an answer, without a Markdown fence around it. */
const extractCypher = (answer: string): string =>
  /```(?:cypher)?\s*\n([^]*?)```/i.exec(answer)?.[1] ?? answer

export const cypherMatch: Metric = {
  name: 'cypher-match',
  about: "the answer is the row's Cypher but for case, white space and names of variables",
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  findProblem: ({ wanted }) =>
    normalizeCypher(wanted) === '' ? 'the wanted answer is empty' : undefined,
  score: ({ answer, wanted }) => scoreBinary(normalizeCypher(answer) === normalizeCypher(wanted)),
}
