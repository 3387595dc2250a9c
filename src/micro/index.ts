// The entry `graftlm/micro`: MicroLoRA alone, in Node and in browsers, under 30 KB with its
// kernels; needs no model and no other part.

export {
  FormatError,
  GraftError,
  MismatchError,
  NumericError,
  OptionError,
  ShapeError,
  UnsupportedError,
} from '../base/errors.ts'
export type { Feedback } from './feedback.ts'
export { type HeadGradient, type HeadPrediction, HeadRows, type HeadRowsOptions } from './head.ts'
export type { MicroLoraJson } from './files/json.ts'
export {
  createContext,
  getKernelContext,
  type KernelContext,
  type KernelName,
  kernelNames,
} from './kernels/context.ts'
export type { MemoryReport } from './module/layout.ts'
export { MicroLora } from './micro-lora.ts'
export type { MicroLoraStatistics } from './statistics.ts'
export { MicroModule } from './module/module.ts'
export type { MicroLoraConfig, MicroLoraOptions, MicroLoraSettings } from './options.ts'
export { type ModuleDimensions, moduleSets } from './target-modules.ts'
export type { PeftExport, PeftFiles } from './files/peft.ts'
export type { TrustRegion } from './module/trust-region.ts'
export type { MicroLoraWarning } from './warnings.ts'
