// Running a model: what users and the floors above call.

export type { Accuracy } from '../compute/pack-linears.ts'
export type { WeightChoice } from './programs/base-weights.ts'
export type { EndReason, Generation } from './engine/answer.ts'
export type { GenerateEvent } from './engine/request.ts'
export type { GenerateOptions } from './engine/generate-options.ts'
export { chooseStage, type LogitsStage, type StageChoice } from './engine/logits/stage.ts'
export type { AdapterChoice } from './programs/row-groups.ts'
export { measureForwardError, type ForwardError } from './analysis/forward-error.ts'
export type { Gradients } from './gradients.ts'
export type { StatesTap } from './programs/forward.ts'
export type { Head } from './head.ts'
export type { Drafter } from './engine/drafts/drafter.ts'
export { createEngine, type CreateEngineOptions } from './create-engine.ts'
export type { Engine, EngineRequest, EngineSequence, EngineStatistics } from './engine/engine.ts'
export type { EngineOptions } from './engine/engine-options.ts'
export { createModel, type Model } from './model.ts'
export type {
  BatchOptions,
  EmbedOptions,
  GradientsOptions,
  HiddenOptions,
  ModelOptions,
  PromptOptions,
} from './model-options.ts'
export {
  measurePredictionDistance,
  type PredictionDistance,
} from './analysis/prediction-distance.ts'
export { probePrompts, selectProbePrompts } from './analysis/probe-prompts.ts'
export type { Prompt } from './prompt.ts'
export { createToolPrompt, type ToolPrompt, type ToolPromptOptions } from './tool-prompt.ts'
export { createToolCallParser } from '../formats/text/tool-calls/create-parser.ts'
export { describeToolGrammar } from '../formats/text/tool-calls/describe-grammar.ts'
export { detectToolCallFormat, toolCallFormats } from '../formats/text/tool-calls/format-table.ts'
export { joinToolCallEvents, parseAnswer } from '../formats/text/tool-calls/parse-answer.ts'
export type {
  ToolCall,
  ToolCallEvent,
  ToolCallFormat,
  ToolChoice,
  ToolDefinition,
} from '../formats/text/tool-calls/tool-call-format.ts'
export { measureActivationError } from './analysis/quantisation-error.ts'
export { createLocalHost, type LocalHostOptions } from './grammar/local-host.ts'
export type { GrammarHost } from './grammar/grammar-host.ts'
export type { GrammarLibrary, LibraryOpener, OpenLibrary } from './grammar/library.ts'
export type { GrammarChoice, StructuralFormat } from '../formats/grammar/grammar-choice.ts'
export { generateObject, type ObjectAnswer, type ObjectOptions } from './object/generate-object.ts'
export type { StandardSchema, ValueOfSchema, ValueSchema } from './object/value-schema.ts'
export { parseExpertSpec } from '../adapters/serving/expert-spec.ts'
export type { SamplingOptions } from './decode/sampling-options.ts'
export {
  connectObject,
  type ConnectOptions,
  type Connection,
  type Remote,
} from './worker/connect-object.ts'
export { createEngineClient, type EngineClientOptions } from './worker/create-engine-client.ts'
export {
  type ClientRequest,
  type CopyEvent,
  type EngineClient,
  engineSequences,
  type ExpertEntry,
} from './worker/engine-client.ts'
export { exposeFailure, exposeObject, type ExposeOptions } from './worker/expose-object.ts'
export { createLeavable } from './worker/leavable.ts'
export type { RemotePort } from './worker/port.ts'
export { markTransfer } from './worker/transfer.ts'
