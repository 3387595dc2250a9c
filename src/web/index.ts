// graftlm/web: everything of graftlm, and where a browser keeps what it learned. Does not resolve
// in Node.

export * from '../index.ts'
export { openIndexedDbStore } from './stores/indexed-db-store.ts'
export { createLocalStorageStore } from './stores/local-storage-store.ts'
