// The tables of trials next to a registry's index: trials, the answers that can be judged, votes,
// and which users' turns an improved version learned from. Users are in them by a keyed hash.

import type { SqliteSchema } from '../../stores/sqlite-file.ts'

export const trialSchema: SqliteSchema = {
  version: 1,
  tables: ['trials', 'answers', 'votes', 'improvements', 'sources', 'secrets', 'sqlite_sequence'],
  sql: `CREATE TABLE IF NOT EXISTS trials (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, candidate TEXT NOT NULL,
  incumbent TEXT NOT NULL, share REAL NOT NULL, least_voters INTEGER NOT NULL, canaries TEXT,
  started_at TEXT NOT NULL, state TEXT NOT NULL, ended_at TEXT, reason TEXT, released TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_running ON trials (id) WHERE state = 'running';
CREATE TABLE IF NOT EXISTS answers (
  place INTEGER PRIMARY KEY AUTOINCREMENT, response TEXT NOT NULL UNIQUE, trial INTEGER NOT NULL,
  side TEXT NOT NULL, voter TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS votes (
  place INTEGER PRIMARY KEY AUTOINCREMENT, trial INTEGER NOT NULL, response TEXT NOT NULL,
  answer INTEGER NOT NULL, side TEXT NOT NULL, voter TEXT NOT NULL, reward REAL NOT NULL,
  UNIQUE (response, answer)
) STRICT;
CREATE TABLE IF NOT EXISTS improvements (
  id TEXT NOT NULL, version TEXT NOT NULL, root TEXT NOT NULL, parent TEXT NOT NULL,
  store TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (id, version)
) STRICT;
CREATE TABLE IF NOT EXISTS sources (
  id TEXT NOT NULL, version TEXT NOT NULL, user TEXT NOT NULL, expert TEXT NOT NULL,
  turn INTEGER NOT NULL, place INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sources_by_version ON sources (id, version);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
}
