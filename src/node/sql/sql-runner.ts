// Runs untrusted SQL in a separate process.

import { createRequestProcess } from '../processes/request-process.ts'

/** The rows of a query, each as one string, or why there are none. */
export type SqlOutcome =
  { readonly rows: readonly string[]; readonly ordered: boolean } | { readonly error: string }

export interface SqlRequest {
  /** Statements that make the tables and fill them. */
  readonly schema: string
  readonly query: string
}

export interface SqlRunner {
  /** Runs one query on a fresh database in memory, read-only. */
  run(question: SqlRequest): Promise<SqlOutcome>
  dispose(): void
}

/** A runner whose process starts with the first query; one that takes longer fails. */
export const createSqlRunner = (timeoutMs = 5000): SqlRunner =>
  createRequestProcess<SqlRequest, SqlOutcome>({
    file: new URL(
      import.meta.url.endsWith('.ts') ? './sql-process.ts' : './sql-process.js',
      import.meta.url,
    ),
    purpose: 'SQL queries',
    timeoutMs,
  })
