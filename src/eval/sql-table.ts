// A table to run a query on, where a row brings none: made from the query itself, so that other
// queries give other rows. For queries over one table with conditions joined by AND, as WikiSQL's
// (Zhong et al. 2017, arXiv:1709.00103); the idea is that of test suites (Zhong et al. 2020,
// arXiv:2010.02840).

interface Condition {
  readonly column: string
  readonly comparison: '=' | '>' | '<'
  readonly value: string | number
}

interface SimpleQuery {
  readonly table: string
  readonly selected: string
  readonly conditions: readonly Condition[]
}

const literal = `'(?:[^']|'')*'|"[^"]*"|-?\\d+(?:\\.\\d+)?`
const condition = `\\w+\\s*[=<>]\\s*(?:${literal})`
const simple = new RegExp(
  `^SELECT\\s+(?:\\w+\\((?<inner>\\w+)\\)|(?<plain>\\w+))\\s+FROM\\s+(?<table>\\w+)(?:\\s+WHERE\\s+(?<where>${condition}(?:\\s+AND\\s+${condition})*))?\\s*;?$`,
  'i',
)

const parseValue = (text: string): string | number =>
  /^['"]/.test(text) ? text.slice(1, -1).replaceAll("''", "'") : Number(text)

function parseQuery(query: string): SimpleQuery | undefined {
  const groups = simple.exec(query.trim())?.groups
  if (!groups) return undefined
  const found = (groups['where'] ?? '').matchAll(
    new RegExp(`(\\w+)\\s*([=<>])\\s*(${literal})`, 'g'),
  )
  const conditions = [...found].map(([, column, comparison, value]) => ({
    column: column!.toLowerCase(),
    comparison: comparison as Condition['comparison'],
    value: parseValue(value!),
  }))
  return {
    table: groups['table']!,
    selected: (groups['inner'] ?? groups['plain'])!.toLowerCase(),
    conditions,
  }
}

type Cells = ReadonlyMap<string, string | number>

/**
 * A value that meets the condition, a step above or below for order; texts are compared as texts.
 */
function getMatchingValue({ comparison, value }: Condition): string | number {
  if (comparison === '=') return value
  if (typeof value === 'number') return comparison === '>' ? value + 1 : value - 1
  return comparison === '>' ? `${value}~` : value.slice(0, -1)
}

/**
 * Values that do not: the one that a comparison just leaves out, and of an equality its neighbours
 * on both sides.
 */
function listNonMatchingValues({ comparison, value }: Condition): (string | number)[] {
  if (comparison !== '=') return [value]
  return typeof value === 'number' ? [value + 1, value - 1] : [`${value}~`, value.slice(0, -1)]
}

/** Rows that meet everything, twice, and for each condition rows that miss it alone, twice each. */
function createTestRows({
  conditions,
}: SimpleQuery): { readonly cells: Cells; readonly sign: 1 | -1 }[] {
  const all: Cells = new Map(conditions.map((one) => [one.column, getMatchingValue(one)]))
  const others = conditions.flatMap((one) =>
    listNonMatchingValues(one).map((value) => new Map([...all, [one.column, value]])),
  )
  return [
    ...[all, all].map((cells) => ({ cells, sign: 1 as const })),
    ...others.flatMap((cells) => ([1, -1] as const).map((sign) => ({ cells, sign }))),
  ]
}

const quoteValue = (value: string | number): string =>
  typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`

/**
 * CREATE TABLE and INSERT statements for a query of that form; undefined for any other, and where a
 * column has two conditions.
 */
export function createTableSql(query: string): string | undefined {
  const read = parseQuery(query)
  if (!read || new Set(read.conditions.map(({ column }) => column)).size < read.conditions.length)
    return undefined
  const columns = [...new Set([read.selected, ...read.conditions.map(({ column }) => column)])]
  // What is selected is another power of 3 in every row, and of the rows that miss something once
  // below all others and once above: so no two sets of rows have the same sum, mean, least or
  // largest.
  const rows = createTestRows(read).map(({ cells, sign }, i) =>
    columns.map((column) => quoteValue(cells.get(column) ?? sign * 3 ** (i + 1))).join(', '),
  )
  return [
    `CREATE TABLE ${read.table} (${columns.map((column) => `"${column}"`).join(', ')});`,
    `INSERT INTO ${read.table} VALUES ${rows.map((row) => `(${row})`).join(', ')};`,
  ].join('\n')
}
