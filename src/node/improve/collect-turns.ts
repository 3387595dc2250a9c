// Reads users' feedback from a store: of one user or all, of one expert or all. A server's learners
// store each user separately for each expert; here they are combined.

import { NotFoundError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteName } from '../../formats/quote.ts'
import { readStoredHistory, type StoredHistory } from '../../learn/export/read-history.ts'
import type { UserStore } from '../../learn/store/user-store.ts'
import { splitScope } from '../../server/learning/scoped-store.ts'

/** A user's turns with one expert. */
export interface UserTurns extends StoredHistory {
  readonly user: string
}

export interface TurnsWanted {
  /** Undefined: all users. */
  readonly users?: readonly string[] | undefined
  /** `identity()` of the base that answered. */
  readonly base: string
  /** Hashes of experts' contents; undefined: any expert. */
  readonly experts?: ReadonlySet<string> | undefined
}

/** Throws NotFoundError for a user that the store does not have. */
export async function collectTurns(
  store: UserStore,
  { users, base, experts }: TurnsWanted,
): Promise<UserTurns[]> {
  const names = (await store.users()).toSorted()
  const known = new Set(names.map((name) => splitScope(name).user))
  const absent = users?.find((user) => !known.has(user))
  if (absent !== undefined) {
    const meant = findNearestName(absent, [...known])
    const hint = meant === undefined ? '' : ` Did you mean ${quoteName(meant)}?`
    throw new NotFoundError(
      `${store.name} has no user ${quoteName(absent)}.${hint} It has ${known.size} ${known.size === 1 ? 'user' : 'users'}.`,
    )
  }
  const found: UserTurns[] = []
  for (const name of names) {
    const { user } = splitScope(name)
    if (users && !users.includes(user)) continue
    const history = await readStoredHistory(store, name)
    if (history?.base !== base) continue
    if (experts && !(history.expert !== undefined && experts.has(history.expert))) continue
    found.push(Object.assign({ user }, history))
  }
  return found
}
