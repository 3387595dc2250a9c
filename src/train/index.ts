// Training an adapter on a frozen model: data to scored tokens, packed batches, optimiser steps,
// checkpoints, events.

export type { Batch } from './batches/batch.ts'
export {
  checkpointFiles,
  findCheckpoint,
  type Checkpoint,
  type FoundCheckpoint,
} from './run/checkpoint.ts'
export {
  createEmbeddingDataset,
  joinDatasets,
  selectExamples,
  countExamples,
  createTextDataset,
  toTrainingData,
  type AdapterDataset,
  type EmbeddingDataset,
  type EmbeddingExample,
  type TextDataset,
  type TextExample,
} from './datasets/adapter-dataset.ts'
export {
  encodeDataset,
  hashDataset,
  loadDataset,
  readDataset,
  saveDataset,
} from './datasets/dataset-files.ts'
export { computeDatasetStatistics, type DatasetStatistics } from './datasets/dataset-statistics.ts'
export {
  deduplicate,
  groupDuplicates,
  type DeduplicatedDataset,
  type DuplicateOptions,
} from './datasets/duplicates.ts'
export {
  encodeData,
  type EncodedData,
  type EncodedSequence,
  type EncodeOptions,
} from './data/encode.ts'
export type { DataFormat, Example } from './data/data-format.ts'
export { dataFormats, detectFormat, readExamples } from './data/format-table.ts'
export { createRawDataset, parseJsonl, type DataRow, type RawDataset } from './data/jsonl.ts'
export { splitDataset, type DatasetSplit, type SplitOptions } from './datasets/split-dataset.ts'
export type { DataCounts, Snapshot, TrainEvent } from './events.ts'
export {
  createGradientProgram,
  type GradientProgram,
  type GradientProgramOptions,
} from './programs/gradient-program.ts'
export { consolidate, type ConsolidateOptions } from './ewc/consolidate.ts'
export { type EwcOptions, ewcTable } from './ewc/options.ts'
export { ewcFile, type EwcState, loadEwcState, saveEwcState } from './ewc/state.ts'
export type { History, StepRecord, ValidationRecord } from './history.ts'
export type { Loss } from './losses/loss.ts'
export { losses } from './losses/loss-table.ts'
export { drawLossCurve, type LossCurveOptions } from './run/loss-curve.ts'
export { getDefaultLearningRate } from './options/default-rates.ts'
export type { Field, Fields, OptionValues } from '../base/schema.ts'
export { optimizers } from './optimizers/optimizer-table.ts'
export type { Optimizer } from './optimizers/optimizer.ts'
export type { CheckpointOptions, Teacher, TrainOptions } from './options/options.ts'
export type { TrainSettings } from './options/settings.ts'
export type { TrainableModel } from './programs/trainable-model.ts'
export {
  buildBatches,
  buildBatch,
  computeFillRate,
  planEpoch,
  countSharedPrefix,
  type BatchPlan,
  type PackingOptions,
} from './batches/packing.ts'
export {
  planTraining,
  type MemoryPlan,
  type TimePlan,
  type TrainPlan,
} from './estimate/estimate.ts'
export { schedules } from './schedules/schedule-table.ts'
export type { Schedule } from './schedules/schedule.ts'
export { settingTable } from './options/setting-table.ts'
export {
  consolidateStandalone,
  type ConsolidateStandaloneOptions,
} from './vectors/consolidate-standalone.ts'
export type { StandaloneEvent } from './vectors/events.ts'
export { standalonePresets, type StandalonePreset } from './vectors/presets.ts'
export type { StandaloneOptions, StandaloneSettings } from './vectors/options.ts'
export { computeStandaloneLoss, trainStandalone } from './vectors/train-standalone.ts'
export {
  checkAnswer,
  SyntheticDataGenerator,
} from './datasets/synthetic/synthetic-data-generator.ts'
export { createSharedPrograms, type SharedPrograms } from './programs/shared-programs.ts'
export { train } from './run/train.ts'
