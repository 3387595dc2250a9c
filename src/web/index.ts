// graftlm/web: everything of graftlm, and where a browser keeps what it learned. Does not resolve in Node.

export * from '../index.ts'
export { indexedDbStore } from './indexed-db-store.ts'
export { localStorageStore } from './local-storage-store.ts'
