// One store for the users of several experts: a user's tiers belong to the expert that answered, so
// each expert has separate users, under the expert's content hash.

import type { UserStore } from '../../learn/store/user-store.ts'

const DIGITS = 16
const separator = '\n'

/** The prefix of the names of an expert's users; '' for the base. */
export const computeScope = (key: string): string =>
  key === '' ? '' : `${key.slice(0, DIGITS)}${separator}`

/** The user of a stored name, and the expert. */
export function splitScope(name: string): { readonly scope: string; readonly user: string } {
  const end = name.indexOf(separator)
  const isScoped = end === DIGITS && /^[0-9a-f]+$/.test(name.slice(0, end))
  return isScoped
    ? { scope: name.slice(0, end + 1), user: name.slice(end + 1) }
    : { scope: '', user: name }
}

/** The store as the learner of one expert sees it. Closing it leaves the store open. */
export const createScopedStore = (store: UserStore, scope: string): UserStore => ({
  name: store.name,
  get: (user, item) => store.get(scope + user, item),
  put: (user, item, bytes, expected) => store.put(scope + user, item, bytes, expected),
  list: (user) => store.list(scope + user),
  delete: (user, item, expected) => store.delete(scope + user, item, expected),
  forget: (user) => store.forget(scope + user),
  ...(store.purge && { purge: () => store.purge!() }),
  users: async () =>
    (await store.users()).flatMap((name) => {
      const found = splitScope(name)
      return found.scope === scope ? [found.user] : []
    }),
  close: async () => undefined,
})
