// graftlm/web: everything of graftlm, and a browser's stores for what was learned. Does not resolve
// in Node.

export * from '../index.ts'
export {
  openRegistry,
  type WebRegistry,
  type WebRegistryOptions,
} from './registry/open-registry.ts'
export { verifyExpertFiles } from './registry/read-expert.ts'
export { loadDataset, saveDataset } from './stores/datasets.ts'
export { openIndexedDbStore } from './stores/indexed-db-store.ts'
export { openGrammarLibrary } from './grammar-library.ts'
export { createLocalStorageStore } from './stores/local-storage-store.ts'
