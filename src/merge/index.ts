// What users of merging call.

export { merge, type MergeOptions, type ModuleReport } from './merge.ts'
export type { MergeMethod, MergeRecipe } from './method.ts'
export { mergeMethods } from './methods.ts'
export type { MergeBase } from './sources.ts'
