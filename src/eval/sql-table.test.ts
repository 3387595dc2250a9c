import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { createTableSql } from './sql-table.ts'

const rowsOf = (query: string, schema: string): unknown[] | string => {
  const database = new DatabaseSync(':memory:')
  database.exec(schema)
  try {
    return database
      .prepare(query)
      .all()
      .map((row) => Object.values(row))
  } catch (error) {
    return String(error)
  } finally {
    database.close()
  }
}

describe('a table made from a query', () => {
  const queries = [
    "SELECT locale FROM t WHERE date = 'march 16' AND game > 64;",
    'SELECT locale FROM t WHERE game = 64 AND date < 12.5',
    "SELECT COUNT(locale) FROM t WHERE date = 'o''clock'",
    'SELECT MAX(points) FROM t',
    "SELECT name FROM t WHERE group = 'a'".replace('group', 'grp'),
  ]
  it.each(queries)('gives rows for %s', (query) => {
    const rows = rowsOf(query, createTableSql(query)!)
    expect(
      Array.isArray(rows) &&
        rows.length > 0 &&
        (rows as unknown[][]).every((row) => row[0] !== null),
    ).toBe(true)
  })
  it.each([
    [
      'another comparison',
      'SELECT a FROM t WHERE b > 5',
      [
        'SELECT a FROM t WHERE b >= 5',
        'SELECT a FROM t WHERE b < 5',
        'SELECT a FROM t WHERE b = 5',
      ],
    ],
    [
      'another value',
      'SELECT a FROM t WHERE b = 5',
      [
        'SELECT a FROM t WHERE b = 6',
        'SELECT a FROM t WHERE b > 5',
        'SELECT a FROM t WHERE b <= 5',
        "SELECT a FROM t WHERE b = '5x'",
      ],
    ],
    [
      'another text',
      "SELECT a FROM t WHERE b = 'x y'",
      [
        "SELECT a FROM t WHERE b = 'X y'",
        "SELECT a FROM t WHERE b LIKE 'x%'",
        "SELECT a FROM t WHERE b > 'x'",
      ],
    ],
    [
      'a condition left out or added',
      "SELECT a FROM t WHERE b = 'x' AND c = 1",
      [
        "SELECT a FROM t WHERE b = 'x'",
        'SELECT a FROM t WHERE c = 1',
        'SELECT a FROM t',
        "SELECT a FROM t WHERE b = 'x' OR c = 1",
        "SELECT a FROM t WHERE b = 'x' AND c = 1 AND a > 3",
      ],
    ],
    [
      'another column or aggregate',
      'SELECT SUM(a) FROM t WHERE b = 1',
      [
        'SELECT SUM(b) FROM t WHERE b = 1',
        'SELECT a FROM t WHERE b = 1',
        'SELECT COUNT(a) FROM t WHERE b = 1',
        'SELECT AVG(a) FROM t WHERE b = 1',
        'SELECT MAX(a) FROM t WHERE b = 1',
        'SELECT c FROM t WHERE b = 1',
      ],
    ],
  ])('tells %s apart', (_, query, others) => {
    const schema = createTableSql(query)!
    const right = rowsOf(query, schema)
    expect(
      others.filter((other) => JSON.stringify(rowsOf(other, schema)) === JSON.stringify(right)),
    ).toEqual([])
  })
  it.each(['MIN', 'MAX', 'SUM', 'AVG', 'COUNT'])(
    'tells by %s that a condition is left out',
    (aggregate) => {
      const query = `SELECT ${aggregate}(constructor) FROM t WHERE b = 'x' AND c > 1`
      const schema = createTableSql(query)!
      for (const other of [query.replace(" b = 'x' AND", ''), query.replace(' AND c > 1', '')])
        expect(rowsOf(other, schema)).not.toEqual(rowsOf(query, schema))
    },
  )
  it('is the same for an equivalent query', () => {
    const schema = createTableSql("SELECT a FROM t WHERE b = 'x' AND c > 1")!
    expect(rowsOf("select T.a from t as T where 1 < c and b in ('x')", schema)).toEqual(
      rowsOf("SELECT a FROM t WHERE b = 'x' AND c > 1", schema),
    )
  })
  it('is not made for other forms of queries', () => {
    for (const query of [
      'SELECT a FROM t JOIN u',
      'SELECT a FROM t GROUP BY a',
      'SELECT a, b FROM t',
      'SELECT a FROM t WHERE b > 1 AND b < 9',
      "SELECT a FROM t WHERE b LIKE 'x'",
      '',
    ])
      expect(createTableSql(query)).toBeUndefined()
  })
})
