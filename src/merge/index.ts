// What users of merging call.

export {
  adapterChange,
  adapterError,
  type AdapterError,
  type ModuleChange,
  type ModuleError,
} from './adapter-change.ts'
export { compress, type Compressed, type CompressOptions } from './compress.ts'
export { extract, type ComparedModel, type Extracted, type ExtractOptions } from './extract.ts'
export { isRequantised, type FoldedTensor, type FoldPart } from './folded-weights.ts'
export {
  foldedBase,
  foldParts,
  isPlainSum,
  mergedTypes,
  mergeIntoBase,
  type IntoBaseOptions,
  type IntoBaseResult,
  type MergedType,
  type OpenedBase,
} from './into-base.ts'
export { merge, type MergeOptions, type ModuleReport } from './merge.ts'
export type { MergeMethod, MergeRecipe } from './method.ts'
export { mergeMethods } from './method-table.ts'
export type { MergeBase } from './sources.ts'
