// Training an adapter on a frozen model: data to scored tokens, packed batches, optimiser steps, checkpoints, events.

export type { Batch } from './batch.ts'
export { checkpointFiles, findCheckpoint, type Checkpoint, type FoundCheckpoint } from './checkpoint.ts'
export {
  embeddingDataset,
  joinDatasets,
  selectExamples,
  sizeOfDataset,
  textDataset,
  trainingData,
  type AdapterDataset,
  type EmbeddingDataset,
  type EmbeddingExample,
  type TextDataset,
  type TextExample,
} from './data/adapter-dataset.ts'
export { datasetChunks, datasetHash, loadDataset, readDataset, saveDataset } from './data/dataset-files.ts'
export { datasetStatistics, type DatasetStatistics } from './data/dataset-statistics.ts'
export { deduplicate, duplicateGroups, type Deduplicated, type DuplicateOptions } from './data/duplicates.ts'
export { encodeData, type EncodedData, type EncodedRow, type EncodeOptions } from './data/encode.ts'
export type { DataFormat, Example } from './data/format.ts'
export { dataFormats, detectFormat, readExamples } from './data/formats.ts'
export { dataSet, readJsonl, type DataRow, type DataSet } from './data/jsonl.ts'
export { splitDataset, type DatasetSplit, type SplitOptions } from './data/split-dataset.ts'
export type { DataCounts, Snapshot, TrainEvent } from './events.ts'
export { createGradientProgram, type GradientProgram, type GradientProgramOptions } from './gradient-program.ts'
export { consolidate, type ConsolidateOptions } from './ewc/consolidate.ts'
export { type EwcOptions, ewcTable } from './ewc/options.ts'
export { ewcFile, type EwcState, loadEwcState, saveEwcState } from './ewc/state.ts'
export type { History, StepRecord, ValidationRecord } from './history.ts'
export type { Loss } from './losses/loss.ts'
export { losses } from './losses/losses.ts'
export { lossCurve, type LossCurveOptions } from './loss-curve.ts'
export { usualLearningRate } from './default-rates.ts'
export type { OptionTable, OptionValues, TrainOptionSpec } from './option-table.ts'
export { optimizers } from './optimizers/optimizers.ts'
export type { Optimizer } from './optimizers/optimizer.ts'
export type { CheckpointOptions, Teacher, TrainableModel, TrainOptions, TrainSettings } from './options.ts'
export { batchesOf, buildBatch, fillRate, planEpoch, sharedBeginning, type BatchPlan, type PackingOptions } from './packing.ts'
export { planTraining, type MemoryPlan, type TimePlan, type TrainPlan } from './plan.ts'
export { schedules } from './schedules/schedules.ts'
export type { Schedule } from './schedules/schedule.ts'
export { settingTable } from './setting-table.ts'
export { consolidateStandalone, type ConsolidateStandaloneOptions } from './standalone/consolidate-standalone.ts'
export type { StandaloneEvent } from './standalone/events.ts'
export type { StandaloneOptions } from './standalone/prepare.ts'
export { standalonePresets, type StandalonePreset } from './standalone/presets.ts'
export type { StandaloneSettings } from './standalone/settings.ts'
export { standaloneLoss, trainStandalone } from './standalone/train-standalone.ts'
export { checkAnswer, SyntheticDataGenerator } from './synthetic/synthetic-data-generator.ts'
export { sharedPrograms, type SharedPrograms } from './shared-programs.ts'
export { train } from './train.ts'
