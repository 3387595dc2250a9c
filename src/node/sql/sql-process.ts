// The process that runs untrusted SQL: a fresh in-memory database for each query, filled from the
// row's schema, then read-only. Files, attached databases, pragmas and extensions are refused.
// Started by sql-runner.ts.

import { constants, DatabaseSync } from 'node:sqlite'
import { limitMemory } from '../processes/limit-memory.ts'
import type { ProcessAnswer } from '../processes/request-process.ts'
import type { SqlOutcome, SqlRequest } from './sql-runner.ts'

const mostRows = 100_000
/** Of all rows of a result together. */
const mostResultBytes = 32 * 2 ** 20
/** Of a text or a blob within a query. */
const mostValueBytes = 8 * 2 ** 20
const memoryBytes = 512 * 2 ** 20

const readingOnly: ReadonlySet<number> = new Set([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE,
])
const refusedInSchema: ReadonlySet<number> = new Set([
  constants.SQLITE_ATTACH,
  constants.SQLITE_DETACH,
  constants.SQLITE_PRAGMA,
])

/** Functions with access outside of the database. */
const refusedFunctions: ReadonlySet<string> = new Set([
  'load_extension',
  'readfile',
  'writefile',
  'edit',
  'fts3_tokenizer',
])

type Authorise = (action: number, first: string | null, second: string | null) => number

const createAuthoriser =
  (allowed: (action: number) => boolean): Authorise =>
  (action, _first, second) =>
    allowed(action) &&
    !(action === constants.SQLITE_FUNCTION && refusedFunctions.has(String(second).toLowerCase()))
      ? constants.SQLITE_OK
      : constants.SQLITE_DENY

const mostBytes = 1_000_000

/**
 * A value as text. Equal numbers have equal text, rounded to 12 digits, because AVG and SUM / COUNT
 * differ after them; strings never equal numbers.
 */
function encodeCell(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'bigint') return `n:${value}`
  if (typeof value === 'number')
    return `n:${Number.isInteger(value) ? value : Number(value.toPrecision(12))}`
  if ((value as string | Uint8Array).length > mostBytes)
    throw new RangeError(`a value of more than ${mostBytes} bytes`)
  return value instanceof Uint8Array
    ? `b:${Buffer.from(value).toString('hex')}`
    : `t:${String(value)}`
}

/**
 * Whether the outermost query orders its rows: ORDER BY outside of brackets, texts and comments.
 */
export function hasOrderBy(query: string): boolean {
  const bare = query.replaceAll(
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[^]*?\*\//g,
    ' x ',
  )
  let depth = 0
  let outer = ''
  for (const character of bare) {
    if (character === ')') depth--
    if (depth === 0) outer += character
    if (character === '(') depth++
  }
  return /\border\s+by\b/i.test(outer)
}

/** The rows as text, or why they are too much. */
function readRows(found: Iterable<unknown>): string[] | string {
  const rows: string[] = []
  let bytes = 0
  for (const row of found) {
    if (rows.length >= mostRows) return `more than ${mostRows} rows`
    const text = JSON.stringify((row as unknown[]).map(encodeCell))
    bytes += text.length
    if (bytes > mostResultBytes) return `more than ${mostResultBytes} bytes of rows`
    rows.push(text)
  }
  return rows
}

/** Runs one query; returns an error message where it fails. */
export function runQuery({ schema, query }: SqlRequest): SqlOutcome {
  const database = new DatabaseSync(':memory:', {
    allowExtension: false,
    enableDoubleQuotedStringLiterals: true,
    limits: { length: mostValueBytes },
  })
  try {
    database.setAuthorizer(createAuthoriser((action) => !refusedInSchema.has(action)))
    database.exec(schema)
    database.setAuthorizer(createAuthoriser((action) => readingOnly.has(action)))
    const statement = database.prepare(query)
    const rest = query.slice(query.indexOf(statement.sourceSQL) + statement.sourceSQL.length)
    if (/[^\s;]/.test(rest.replaceAll(/--[^\n]*|\/\*[^]*?\*\//g, '')))
      return { error: 'more than one statement' }
    statement.setReturnArrays(true)
    statement.setReadBigInts(true)
    const rows = readRows(statement.iterate())
    return typeof rows === 'string' ? { error: rows } : { rows, ordered: hasOrderBy(query) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  } finally {
    database.close()
  }
}

const isLarge = limitMemory(memoryBytes)
process.on('message', (question: SqlRequest) => {
  const outcome = runQuery(question)
  process.send?.({ outcome, isLast: isLarge() } satisfies ProcessAnswer<SqlOutcome>)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
