// The SQLite file that the tables of trials and of improvements share, and its transactions.

import type { DatabaseSync } from 'node:sqlite'

/** How the two share a file. */
export interface TrialFile {
  readonly database: DatabaseSync
  readonly now: () => string
  /** A user's name as it is stored; it cannot be recovered without the file's secret. */
  readonly hideUser: (user: string) => string
  read<T>(work: () => T): Promise<T>
  write<T>(work: () => T): Promise<T>
  /** Overwrites what was deleted. */
  purge(): Promise<void>
}
