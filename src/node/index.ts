// graftlm/node: everything of graftlm, with paths and catalogue names wherever a source or a sink
// is expected, and models on ONNX Runtime.

import './processes/require-node.ts'
export * from '../index.ts'
// Here and in graftlm/learn, not in graftlm, because it loads the runtime and training, which would
// double the import time of graftlm.
export { createLearner } from '../learn/learner.ts'
export type { Learner } from '../learn/learner-calls.ts'
export type { LearnerOptions } from '../learn/learner-options.ts'
export { loadAdapter, saveAdapter } from './adapters.ts'
export { compress, type CompressFilesOptions } from './compress.ts'
export { loadDataset, saveDataset } from './datasets.ts'
export type { DataInput } from './data.ts'
export { extract } from './extract.ts'
export { mergeIntoBase, type IntoBaseFilesOptions, type IntoBaseReport } from './into-base.ts'
export { merge, type MergeFilesOptions } from './merge.ts'
export { loadModel, type LoadedModel, type LoadModelOptions } from './model.ts'
export { resolveModel, type ResolveOptions } from './models/resolve.ts'
export { planTraining } from './plan-training.ts'
export { createFileStore } from './stores/file-store.ts'
export { createRouter, type CreateRouterFilesOptions } from './route/create-router.ts'
export { openRegistry, type RegistryOptions } from './registry/open-registry.ts'
export type { LocalRegistry } from './registry/local-registry.ts'
export type { FetchOptions, PublishedLayout } from './registry/publish/published-layout.ts'
export { openPrefixFolder, type PrefixFolderOptions } from './stores/prefix-folder.ts'
export { generateObject } from '../runtime/object/generate-object.ts'
export { createEngine, type CreateEngineOptions } from '../runtime/create-engine.ts'
export { openSqliteStore, type SqliteStoreOptions } from './stores/sqlite-store.ts'
export { startServer, type StartedServer, type StartServerOptions } from './serve/load-server.ts'
export { train } from './train.ts'
export type { TrainFilesOptions } from './train-files.ts'
export {
  type EngineWorker,
  type EngineWorkerOptions,
  openEngineWorker,
} from './engine/open-engine-worker.ts'
export { openWorker, type OpenWorkerOptions, type WorkerSettings } from './worker/open-worker.ts'
export type { CrashReport, OpenedWorker, WorkerReport } from './worker/restarted-worker.ts'
export type { WorkerFactory, WorkerObject } from './worker/run-worker-task.ts'
export type { Job, JobState } from './jobs/job-queue.ts'
export type { GateReport, TrainGate } from './jobs/train-gate.ts'
export type { TrainJobEvent } from './jobs/train-process.ts'
export { planShare, type TrainShare } from './jobs/train-share.ts'
export {
  createTrainer,
  type TrainChoice,
  type Trainer,
  type TrainerOptions,
  type TrainJob,
  type TrainJobOptions,
  type TrainOutcome,
} from './jobs/trainer.ts'
