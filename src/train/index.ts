// graftlm/train: training an adapter on a frozen model or over vectors, data sets for both, and the
// protection of earlier tasks. Lower-level parts (programs, packing, tables) are imported by path.

export {
  encodeData,
  type EncodedData,
  type EncodedSequence,
  type EncodeOptions,
} from './data/encode.ts'
export { parseJsonl, type DataRow, type RawDataset } from './data/jsonl.ts'
export {
  createEmbeddingDataset,
  createTextDataset,
  joinDatasets,
  selectExamples,
  toTrainingData,
  type AdapterDataset,
  type EmbeddingDataset,
  type EmbeddingExample,
  type TextDataset,
  type TextExample,
} from './datasets/adapter-dataset.ts'
export { hashDataset, loadDataset, readDataset, saveDataset } from './datasets/dataset-files.ts'
export { computeDatasetStatistics, type DatasetStatistics } from './datasets/dataset-statistics.ts'
export {
  deduplicate,
  type DeduplicatedDataset,
  type DuplicateOptions,
} from './datasets/duplicates.ts'
export type { DataSummary } from './data/row-log.ts'
export { splitDataset, type DatasetSplit, type SplitOptions } from './datasets/split-dataset.ts'
export {
  checkAnswer,
  SyntheticDataGenerator,
} from './datasets/synthetic/synthetic-data-generator.ts'
export {
  planTraining,
  type MemoryPlan,
  type TimePlan,
  type TrainPlan,
} from './estimate/estimate.ts'
export type { DataCounts, Snapshot, TrainEvent } from './events.ts'
export { consolidate, type ConsolidateOptions } from './ewc/consolidate.ts'
export type { EwcOptions } from './ewc/options.ts'
export { loadEwcState, saveEwcState, type EwcState } from './ewc/state.ts'
export type { History, StepRecord, ValidationRecord } from './history.ts'
export type { CheckpointOptions, FreshAdapter, Teacher, TrainOptions } from './options/options.ts'
export type { TrainSettings } from './options/settings.ts'
export type { TrainData, ValidationInput, ValidationOptions } from './options/train-data.ts'
export { createSharedPrograms, type SharedPrograms } from './programs/shared-programs.ts'
export type { TrainableModel } from './programs/trainable-model.ts'
export type { EventRun } from './run/event-run.ts'
export { drawLossCurve, type LossCurveOptions } from './run/loss-curve.ts'
export { train, type TrainResult, type TrainRun } from './run/train.ts'
export {
  consolidateStandalone,
  type ConsolidateStandaloneOptions,
} from './vectors/consolidate-standalone.ts'
export type { StandaloneEvent } from './vectors/events.ts'
export type { StandaloneOptions, StandaloneSettings } from './vectors/options.ts'
export type { StandalonePreset } from './vectors/presets.ts'
export { trainStandalone, type StandaloneTrainRun } from './vectors/train-standalone.ts'
