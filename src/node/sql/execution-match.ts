// Execution match for SQL: the answer, run on the row's tables, returns the rows that the reference
// query returns. Zhong et al. 2017, arXiv:1709.00103.

import { type Metric, scoreBinary } from '../../eval/metric.ts'
import { createTableSql } from '../../eval/sql-table.ts'
import { createSqlRunner, type SqlOutcome } from './sql-runner.ts'

/** The SQL of an answer, without a Markdown fence around it. */
export const extractSql = (answer: string): string =>
  (/```(?:sql|sqlite)?\s*\n([^]*?)```/i.exec(answer)?.[1] ?? answer).trim()

/**
 * Whether two queries returned the same rows with the same counts, and in the same order if the
 * expected query orders them. Column names are ignored.
 */
export function hasSameRows(found: SqlOutcome, wanted: SqlOutcome): boolean {
  if ('error' in found || 'error' in wanted || found.rows.length !== wanted.rows.length)
    return false
  const inOrder = (rows: readonly string[]): readonly string[] =>
    wanted.ordered ? rows : rows.toSorted()
  const left = inOrder(found.rows)
  const right = inOrder(wanted.rows)
  return left.every((row, i) => row === right[i])
}

/**
 * The row's tables, or one derived from the expected query if the row has none and the query is
 * simple enough.
 */
const findSchema = (
  { schema }: Readonly<Record<string, unknown>>,
  wanted: string,
): string | undefined => (typeof schema === 'string' ? schema : createTableSql(extractSql(wanted)))

/**
 * A metric that keeps one process for all its queries; dispose ends it. `timeoutMs`: of one query.
 */
export function createExecutionMatch(timeoutMs?: number): Metric {
  const runner = createSqlRunner(timeoutMs)
  return {
    name: 'execution-match',
    about: "the answer is SQL that gives the wanted query's rows on the row's own tables",
    needs: 'answers',
    kind: 'share',
    better: 'higher',
    async findProblem({ row, wanted }) {
      const schema = findSchema(row, wanted)
      if (schema === undefined)
        return 'the row has no "schema": the CREATE TABLE and INSERT statements that its query runs on'
      const right = await runner.run({ schema, query: extractSql(wanted) })
      return 'error' in right
        ? `the wanted query fails on the row's "schema": ${right.error}`
        : undefined
    },
    async score({ row, answer, wanted }) {
      const schema = findSchema(row, wanted)!
      return scoreBinary(
        hasSameRows(
          await runner.run({ schema, query: extractSql(answer) }),
          await runner.run({ schema, query: extractSql(wanted) }),
        ),
      )
    },
    dispose: () => runner.dispose(),
  }
}
