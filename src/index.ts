// graftlm: everything that needs no platform. Adapters come from byte folders and go to byte sinks;
// models and ONNX Runtime come from graftlm/node. Importing this loads no compute library, no
// tokenizer and no template engine; training brings its own when it is first called.

import type { TrainOptions } from './train/options/options.ts'
import { createEventRun } from './train/run/event-run.ts'
import type { TrainRun } from './train/run/train.ts'

// From their own files: the folder's index would bring passes that only a run needs, and double the
// time of this import.
export type { Adapter } from './adapters/adapter.ts'
export {
  type AdapterTarget,
  createAdapter,
  type CreateAdapterOptions,
} from './adapters/create-adapter.ts'
export type { AdapterConfig, AdapterKind } from './adapters/kinds/kind.ts'
export {
  adapterKinds,
  type AdapterKindName,
  type AdapterOptions,
} from './adapters/kinds/kind-table.ts'
export type { LoraConfig } from './adapters/kinds/lora-config.ts'
export { joinAdapters } from './adapters/joint/joint-adapters.ts'
export type { ExpertSpec } from './adapters/serving/expert-spec.ts'
export type { AnswerExpert, Fade } from './adapters/serving/fade.ts'
export type { Expert, Mixture } from './adapters/serving/mixture.ts'
export { loadAdapter, saveAdapter } from './adapters/files/peft.ts'
export { type FillTarget, unpackInto } from './adapters/packed/fill.ts'
export {
  packAdapter,
  type PackAdapterOptions,
  type PackedAdapter,
  unpackAdapter,
} from './adapters/packed/pack-adapter.ts'
export type { PackedBits, PackedTensor } from './adapters/packed/packed-tensor.ts'
export { addPackedProduct, type LowRankFactors } from './adapters/packed/product.ts'
export {
  ContextLengthError,
  DataError,
  FormatError,
  GraftError,
  GrammarError,
  MismatchError,
  NotFoundError,
  NumericError,
  ObjectError,
  OptionError,
  ShapeError,
  StorageError,
  UnsupportedError,
  type Mismatch,
  type ObjectIssue,
} from './base/errors.ts'
export type { F32Tensor, Tensor } from './base/tensor.ts'
export type { ByteFolder, ByteSink, ByteSource } from './formats/byte-source.ts'
export type { ChatMessage } from './formats/text/chat-template.ts'
export { merge, type MergeOptions, type ModuleReport } from './merge/merge.ts'
export type { MergeRecipe } from './merge/method.ts'
export { mergeMethods } from './merge/method-table.ts'
export type { MergeBase } from './merge/sources.ts'
export type {
  AdapterChoice,
  BatchOptions,
  GenerateEvent,
  Generation,
  Model,
  Prompt,
  PromptOptions,
  SamplingOptions,
} from './runtime/index.ts'
export type { TrainEvent } from './train/events.ts'
export type { Teacher, TrainOptions } from './train/options/options.ts'
export type { TrainResult, TrainRun } from './train/run/train.ts'

/**
 * Trains an adapter through the frozen base: iterate over the events, or await `done`, the last event
 * with the adapter: `const { adapter } = await train({ model, data }).done`.
 */
export const train = (options: TrainOptions): TrainRun =>
  createEventRun(async function* () {
    const { train: run } = await import('./train/run/train.ts')
    yield* run(options)
  })
