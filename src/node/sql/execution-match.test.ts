import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { metricContract } from '../../eval/metric.contract.ts'
import { createExecutionMatch, extractSql } from './execution-match.ts'
import { createSqlRunner } from './sql-runner.ts'

const schema = `CREATE TABLE pets (name TEXT, kind TEXT, age REAL);
INSERT INTO pets VALUES ('Tom', 'cat', 3), ('Rex', 'dog', 5), ('Mia', 'cat', 3.5), ('Ben', 'dog', 5);`
const wanted = "SELECT name FROM pets WHERE kind = 'cat'"

const metric = createExecutionMatch(1500)
afterAll(() => metric.dispose?.())
const score = async (answer: string, right = wanted): Promise<number> =>
  (await metric.score({ row: { schema }, wanted: right, answer })).value

describe('execution match', () => {
  metricContract(metric, { row: { schema }, wanted })
  it.each([
    ['another query with the same rows', 'select p.name from pets p where age < 4;', 1],
    [
      'another order where none is asked for',
      "SELECT name FROM pets WHERE kind = 'cat' ORDER BY name",
      1,
    ],
    ['another name for a column', "SELECT name AS who FROM pets WHERE kind = 'cat'", 1],
    ['a query in a Markdown fence', `Here it is:\n\`\`\`sql\n${wanted}\n\`\`\``, 1],
    ['rows that are missing', "SELECT name FROM pets WHERE name = 'Tom'", 0],
    ['rows too many', 'SELECT name FROM pets', 0],
    ['a column too many', "SELECT name, age FROM pets WHERE kind = 'cat'", 0],
    ['a column that is not there', 'SELECT nickname FROM pets', 0],
    ['no SQL', 'the cats', 0],
    ['a second statement', `${wanted}; DROP TABLE pets`, 0],
  ])('of %s', async (_, answer, expected) => expect(await score(answer)).toBe(expected))
  it('counts rows as often as they come, numbers by value and to 12 digits', async () => {
    expect(
      await score(
        'SELECT DISTINCT age FROM pets WHERE age = 5',
        'SELECT age FROM pets WHERE age = 5',
      ),
    ).toBe(0)
    expect(await score('SELECT 5 FROM pets LIMIT 1', 'SELECT max(age) FROM pets')).toBe(1)
    expect(await score("SELECT '5'", 'SELECT max(age) FROM pets')).toBe(0)
    expect(await score('SELECT sum(age) / count(*) FROM pets', 'SELECT avg(age) FROM pets')).toBe(1)
    expect(await score('SELECT 9007199254740993', 'SELECT 9007199254740992')).toBe(0)
  })
  it('asks for the order where the wanted query orders its rows, and only there', async () => {
    const ordered = 'SELECT name FROM pets ORDER BY age DESC, name'
    expect(await score('SELECT name FROM pets ORDER BY age, name', ordered)).toBe(0)
    expect(await score('SELECT name FROM pets ORDER BY -age, name', ordered)).toBe(1)
    const within =
      "SELECT name FROM pets WHERE age = (SELECT age FROM pets ORDER BY age DESC LIMIT 1) AND name <> 'order by'"
    expect(await score('SELECT name FROM pets WHERE age = 5 ORDER BY name', within)).toBe(1)
  })
  it('reports missing keys of rows before answers are generated', async () => {
    expect(await metric.findProblem!({ row: {}, wanted: 'SELECT a FROM t GROUP BY a' })).toContain(
      'no "schema"',
    )
    expect(
      await metric.findProblem!({ row: { schema }, wanted: 'SELECT nickname FROM pets' }),
    ).toContain('no such column: nickname')
    expect(await metric.findProblem!({ row: { schema: 'CREATE TABEL t (a)' }, wanted })).toContain(
      'syntax error',
    )
  })
  it('makes a table from the wanted query where the row brings none', async () => {
    const judge = async (answer: string): Promise<number> =>
      (await metric.score({ row: {}, wanted, answer })).value
    expect(await metric.findProblem!({ row: {}, wanted })).toBeUndefined()
    expect(await judge("select name from pets where 'cat' = kind")).toBe(1)
    expect(await judge('SELECT name FROM pets WHERE kind = "cat"')).toBe(1) // as SQLite takes it
    expect(await judge("SELECT name FROM pets WHERE kind = 'dog'")).toBe(0)
    expect(await judge('SELECT name FROM pets')).toBe(0)
  })
  it('finds SQL in a fence, else takes all', () => {
    expect(extractSql('```\nSELECT 1\n```')).toBe('SELECT 1')
    expect(extractSql(' SELECT 1 ')).toBe('SELECT 1')
  })
})

describe('foreign SQL', () => {
  const runner = createSqlRunner(1500)
  const patient = createSqlRunner(20_000)
  afterAll(() => [runner, patient].forEach((one) => one.dispose()))
  const file = join(tmpdir(), `graft-sql-${process.pid}.db`)
  it.each([
    ['writes', 'DELETE FROM pets'],
    ['makes tables', 'CREATE TABLE t (a)'],
    ['attaches a database', `ATTACH DATABASE '${file}' AS other`],
    ['writes a file', `VACUUM INTO '${file}'`],
    ['sets pragmas', 'PRAGMA writable_schema = 1'],
    ['loads extensions', `SELECT load_extension('${file}')`],
    [
      'fills the memory',
      'SELECT group_concat(hex(zeroblob(100000000))) FROM pets, pets AS b, pets AS c',
    ],
  ])('that %s is refused, and the next query runs', async (_, query) => {
    expect(await runner.run({ schema, query })).toHaveProperty('error')
    expect(existsSync(file)).toBe(false)
    expect(await runner.run({ schema, query: 'SELECT count(*) FROM pets' })).toEqual({
      rows: ['["n:4"]'],
      ordered: false,
    })
  })
  const count = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 99999)'
  it.each([
    ['a large value', 'SELECT zeroblob(200000000)', 'string or blob too big'],
    [
      'many large values',
      `SELECT ${Array(1999).fill('hex(zeroblob(2000000))').join(', ')}`,
      'ended its process: it needs too much memory',
    ],
    [
      'many large rows',
      `${count} SELECT hex(zeroblob(5000)) FROM c`,
      'more than 33554432 bytes of rows',
    ],
  ])('that makes %s is stopped before it takes the memory', async (_, query, error) => {
    expect(await patient.run({ schema, query })).toEqual({ error })
  })

  it('that reaches out in the schema is refused as well', async () => {
    expect(
      await runner.run({
        schema: `ATTACH DATABASE '${file}' AS other; CREATE TABLE other.t (a)`,
        query: 'SELECT 1',
      }),
    ).toHaveProperty('error')
    expect(existsSync(file)).toBe(false)
  })
  it('that does not end is stopped, and the next query runs', async () => {
    const endless =
      'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'
    expect(await runner.run({ schema, query: endless })).toEqual({
      error: 'took longer than 1.5 s',
    })
    expect(await runner.run({ schema, query: 'SELECT 1' })).toEqual({
      rows: ['["n:1"]'],
      ordered: false,
    })
  })
  it('of one row does not see the tables of another', async () => {
    expect(
      await runner.run({ schema: 'CREATE TABLE other (a)', query: 'SELECT * FROM pets' }),
    ).toEqual({ error: 'no such table: pets' })
  })
})
