// graftlm: everything that needs no platform. Adapters come from byte folders and go to byte sinks;
// models and ONNX Runtime come from graftlm/node. Importing this loads no compute library, no
// tokenizer and no template engine; training brings its own when it is first called.

import {
  type Adapter,
  createAdapter as createFor,
  type CreateAdapterOptions,
} from './adapters/adapter.ts'
import type { ModelGraph } from './graph/model-graph.ts'
import type { Model } from './runtime/index.ts'
import type { TrainEvent } from './train/events.ts'
import type { TrainOptions } from './train/options/options.ts'

// From their own files: the folder's index would bring passes that only a run needs, and double the
// time of this import.
export type { Adapter } from './adapters/adapter.ts'
export type { AdapterConfig, AdapterKind } from './adapters/kinds/kind.ts'
export { adapterKinds } from './adapters/kinds/kind-table.ts'
export type { LoraConfig } from './adapters/kinds/lora-config.ts'
export type { Expert, Mixture } from './adapters/serving/mixture.ts'
export { loadAdapter, saveAdapter } from './adapters/files/peft.ts'
export {
  ContextLengthError,
  DataError,
  FormatError,
  GraftError,
  MismatchError,
  NotFoundError,
  NumericError,
  OptionError,
  ShapeError,
  StorageError,
  UnsupportedError,
  type Mismatch,
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

/**
 * A fresh adapter for a model: `createAdapter('lora', { rank: 16, targets: 'all-linear' }, model)`.
 * The same seed (default 0) gives the same numbers. Throws OptionError for wrong options and for
 * targets that the model does not have.
 */
export function createAdapter(
  kind: string,
  config: Readonly<Record<string, unknown>>,
  model: ModelGraph | Pick<Model, 'base'>,
  options: Partial<CreateAdapterOptions> = {},
): Adapter {
  if (!('base' in model)) return createFor(kind, config, model, { seed: 0, ...options })
  return createFor(kind, config, model.base.graph, {
    seed: 0,
    baseModel: model.base.name,
    ...options,
  })
}

/**
 * Trains an adapter through the frozen base; iterate over the events, the last of which is
 * 'train-end' with the adapter. See train/train.ts.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainEvent, void, void> {
  const { train: run } = await import('./train/run/train.ts')
  yield* run(options)
}
