// A store of users by its address, which also selects the kind of store.

import type { UserStore } from '../../learn/store/user-store.ts'

interface StoreKind {
  readonly accepts: (place: string) => boolean
  readonly open: (place: string) => Promise<UserStore>
}

/** The first kind that accepts an address opens it. */
const kinds: readonly StoreKind[] = [
  {
    accepts: (place) => /^postgres(ql)?:\/\//i.test(place),
    open: async (place) => (await import('./postgres-store.ts')).openPostgresStore(place),
  },
  {
    accepts: (place) => /^s3:\/\//i.test(place),
    open: async (place) => (await import('./s3-store.ts')).openS3Store(place),
  },
  {
    accepts: (place) => /\.(db|sqlite)$/i.test(place),
    open: async (place) => (await import('./sqlite-store.ts')).openSqliteStore(place),
  },
  {
    accepts: () => true,
    open: async (place) => (await import('./file-store.ts')).createFileStore(place),
  },
]

/**
 * Opens postgres://user:password@host/database, s3://bucket/prefix, a file that ends in .db or
 * .sqlite, or a folder. Throws UnsupportedError if a package is missing, StorageError if the store
 * is unreachable or refuses.
 */
export const openUserStore = (place: string): Promise<UserStore> =>
  kinds.find(({ accepts }) => accepts(place))!.open(place)
