// graftlm/web: everything of graftlm, and where a browser keeps what it learned. Does not resolve
// in Node.

export * from '../index.ts'
export { indexedDbStore } from './stores/indexed-db-store.ts'
export { localStorageStore } from './stores/local-storage-store.ts'
