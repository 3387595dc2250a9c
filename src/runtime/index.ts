// Running a model: what users and the floors above call.

export type { Accuracy } from '../compute/pack-linears.ts'
export type { WeightChoice } from './base-weights.ts'
export type { EndReason, GenerateEvent, GenerateOptions, Generation } from './generate.ts'
export type { AdapterChoice } from './experts.ts'
export { forwardError, type ForwardError } from './forward-error.ts'
export type { Gradients } from './gradients.ts'
export { createModel, type BatchOptions, type Model, type ModelOptions, type PromptOptions } from './model.ts'
export { predictionDistance, type PredictionDistance } from './prediction-distance.ts'
export { probePrompts, probesFor } from './probe-prompts.ts'
export type { Prompt } from './prompt.ts'
export { activationQuantisationError } from './quantisation-error.ts'
export type { SamplingOptions } from './sampler.ts'
