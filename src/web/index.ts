// graftlm/web: everything of graftlm for a browser, where sources and sinks may also be URLs, files
// and OPFS paths, and models run on onnxruntime-web. Does not resolve in Node.

export * from '../index.ts'
export { createLearner } from '../learn/learner.ts'
export type { Learner } from '../learn/learner-calls.ts'
export type { LearnerOptions } from '../learn/learner-options.ts'
export { createEngine, type CreateEngineOptions } from '../runtime/create-engine.ts'
export { generateObject } from '../runtime/object/generate-object.ts'
export {
  exportAdapter,
  importAdapter,
  loadAdapter,
  type LoadWebAdapterOptions,
  saveAdapter,
  type WebSink,
} from './adapters.ts'
export { readDataFile, type WebDataInput } from './data.ts'
export { openGrammarLibrary } from './grammar-library.ts'
export { merge, type MergeWebOptions } from './merge.ts'
export { type WebModel, loadModel, type LoadWebModelOptions } from './model.ts'
export {
  openRegistry,
  type WebRegistry,
  type WebRegistryOptions,
} from './registry/open-registry.ts'
export { verifyExpertFiles } from './registry/read-expert.ts'
export { createRouter, type CreateRouterWebOptions } from './router.ts'
export type { WebBackendOptions, WebRuntime } from './runtime/load-runtime.ts'
export type { WebFetchProgress } from './sources/download.ts'
export { type KeptDownload, listDownloads, removeDownload } from './sources/kept-files.ts'
export type { WebSource } from './sources/open-source.ts'
export { loadDataset, saveDataset } from './stores/datasets.ts'
export { openIndexedDbStore } from './stores/indexed-db-store.ts'
export { createLocalStorageStore } from './stores/local-storage-store.ts'
export { checkData, type CheckOptions, type DataCheck } from '../train/datasets/check-data.ts'
export { train } from './train.ts'
export type { TrainWebOptions } from './train-options.ts'
export {
  openEngineWorker,
  type WebEngineWorker,
  type WebEngineWorkerOptions,
} from './worker/open-engine-worker.ts'
