// graftlm/merge: what users of merging call.

export {
  measureAdapterChange,
  measureAdapterDifference,
  type AdapterDifference,
  type ModuleChange,
  type ModuleDifference,
} from './adapter-change.ts'
export { compress, type CompressedAdapter, type CompressOptions } from './compress.ts'
export {
  extract,
  type ComparedModel,
  type ExtractedAdapter,
  type ExtractOptions,
} from './extract.ts'
export {
  isRequantised,
  type MergedTensor,
  type WeightedAdapter,
} from './into-base/merged-weights.ts'
export {
  createMergedBase,
  resolveWeightedAdapters,
  isPlainSum,
  mergedTypes,
  mergeIntoBase,
  type MergeIntoBaseOptions,
  type MergeIntoBaseResult,
  type MergedType,
  type BaseWithSource,
} from './into-base/merge-into-base.ts'
export { merge, type MergeOptions, type ModuleReport } from './merge.ts'
export type { MergeWeights } from './merge-options.ts'
export type { MergeSources } from './named-adapters.ts'
export type { MergeMethod, MergeRecipe } from './method.ts'
export { mergeMethods } from './method-table.ts'
export type { MergeBase } from './sources.ts'
