// Which versions of an expert were made from users' turns: from which version, and from which turns,
// so that a version can be withdrawn when a user asks to be forgotten.

import type { SQLOutputValue } from 'node:sqlite'
import type { TrialFile } from './trial-file.ts'

/** A turn that a version was trained on. */
export interface SourceTurn {
  /** As it is kept: `ImprovementStore.hideUser`. */
  readonly user: string
  /** The hash of the content of the expert that answered. */
  readonly expert: string
  readonly turn: number
  /** How many learned turns of the user came before it. */
  readonly place: number
}

export interface Improvement {
  readonly version: string
  /** The version without feedback, from which it was trained. */
  readonly root: string
  /** The version that answered when it was made. */
  readonly parent: string
  /** The store of the users whose turns it was trained on. */
  readonly store: string
  readonly at: string
}

export interface ImprovementStore {
  hideUser(user: string): string
  /** Records the sources of a version before it is in the registry. */
  add(
    id: string,
    improvement: Omit<Improvement, 'at'>,
    sources: readonly SourceTurn[],
  ): Promise<void>
  /** Records that a version was released under another name. */
  copy(id: string, version: string, released: string): Promise<void>
  /** The oldest first. */
  list(id: string): Promise<readonly Improvement[]>
  listIds(): Promise<readonly string[]>
  listSources(id: string, version: string): Promise<readonly SourceTurn[]>
  /** Removes a version and its recorded sources. */
  remove(id: string, version: string): Promise<void>
}

type SqlRow = Readonly<Record<string, SQLOutputValue>>

const toImprovement = (row: SqlRow): Improvement => ({
  version: String(row['version']),
  root: String(row['root']),
  parent: String(row['parent']),
  store: String(row['store']),
  at: String(row['at']),
})

const toSource = (row: SqlRow): SourceTurn => ({
  user: String(row['user']),
  expert: String(row['expert']),
  turn: Number(row['turn']),
  place: Number(row['place']),
})

export function createImprovements(file: TrialFile): ImprovementStore {
  const { database, now, read, write, hideUser } = file
  const insert = database.prepare(
    'INSERT OR REPLACE INTO improvements (id, version, root, parent, store, at) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const insertSource = database.prepare(
    'INSERT INTO sources (id, version, user, expert, turn, place) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const dropSources = database.prepare('DELETE FROM sources WHERE id = ? AND version = ?')
  const drop = database.prepare('DELETE FROM improvements WHERE id = ? AND version = ?')
  const all = database.prepare('SELECT * FROM improvements WHERE id = ? ORDER BY rowid')
  const ids = database.prepare('SELECT DISTINCT id FROM improvements ORDER BY id')
  const sourcesOf = database.prepare('SELECT * FROM sources WHERE id = ? AND version = ?')
  const copySelf = database.prepare(
    'INSERT OR REPLACE INTO improvements SELECT id, ?, root, parent, store, ? FROM improvements WHERE id = ? AND version = ?',
  )
  const copySources = database.prepare(
    'INSERT INTO sources SELECT id, ?, user, expert, turn, place FROM sources WHERE id = ? AND version = ?',
  )
  return {
    hideUser,
    add: (id, { version, root, parent, store }, sources) =>
      write(() => {
        dropSources.run(id, version)
        insert.run(id, version, root, parent, store, now())
        for (const { user, expert, turn, place } of sources)
          insertSource.run(id, version, user, expert, turn, place)
      }),
    copy: (id, version, released) =>
      write(() => {
        dropSources.run(id, released)
        copySelf.run(released, now(), id, version)
        copySources.run(released, id, version)
      }),
    list: (id) => read(() => all.all(id).map(toImprovement)),
    listIds: () => read(() => ids.all().map((row) => String(row['id']))),
    listSources: (id, version) => read(() => sourcesOf.all(id, version).map(toSource)),
    async remove(id, version) {
      await write(() => {
        dropSources.run(id, version)
        drop.run(id, version)
      })
      await file.purge()
    },
  }
}
