// What a run is set by: options, their defaults, and every mistake in them reported at once.

import type { Adapter } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { EncodedData } from './data/encode.ts'
import type { DataSet } from './data/jsonl.ts'
import { optimizerNamed } from './optimizers/optimizers.ts'
import { scheduleNamed } from './schedules/schedules.ts'

/** What training needs of a model. */
export interface TrainableModel {
  readonly base: Pick<BaseModel, 'name' | 'graph' | 'tokenizer' | 'chatTemplate' | 'identity'>
  readonly backend: Backend
  /** The base's weights by checkpoint name. Never changed. */
  weights(): Promise<ReadonlyMap<string, F32Tensor>>
}

export interface CheckpointOptions {
  readonly sink: ByteSink
  /** Where earlier checkpoints are looked for, to go on from; without it the run starts anew. */
  readonly source?: ByteFolder
  /** The last step is always saved. */
  readonly everySteps?: number
}

export interface TrainSettings {
  readonly epochs: number
  /** Steps in all, over as many epochs as they need; instead of `epochs`. */
  readonly steps?: number
  /** A batch: N lines of at most T tokens. */
  readonly batch: { readonly rows: number; readonly tokens: number }
  /** Longer rows are cut; at most batch.tokens. */
  readonly maxTokens: number
  /** Several rows on a line, which do not see each other; else every row is padded on its own line. */
  readonly packing: boolean
  /** Batches per step. */
  readonly accumulation: number
  readonly optimizer: string
  /** The optimiser's own options: for AdamW beta1, beta2, epsilon. */
  readonly optimizerOptions: Readonly<Record<string, unknown>>
  readonly learningRate: number
  readonly weightDecay: number
  readonly schedule: string
  /** Steps at the beginning over which the learning rate rises: a share of all steps. */
  readonly warmupShare: number
  /** The same as a number of steps, which counts before the share. */
  readonly warmupSteps?: number
  /** LoRA+: how much larger B's learning rate is than A's (Hayou et al. 2024, arXiv:2402.12354). 1 is plain LoRA. */
  readonly loraPlusRatio: number
  /** Largest norm of all gradients together; 0 does not clip. */
  readonly clip: number
  readonly seed: number
  /** Recomputes layers on the way back instead of keeping them: less memory, more time. A number: into how many segments. */
  readonly checkpointing: boolean | number
  /** System message for rows that have none. */
  readonly system?: string
}

export interface TrainOptions extends Partial<TrainSettings> {
  readonly model: TrainableModel
  /** An adapter to train on, or the kind and options of a fresh one. */
  readonly adapter: Adapter | { readonly kind: string; readonly config: Readonly<Record<string, unknown>> }
  readonly data: DataSet | EncodedData
  readonly validation?: {
    readonly data: DataSet | EncodedData
    /** Steps between validations; at the end of each epoch unless given, and always at the last step. */
    readonly everySteps?: number
  }
  readonly checkpoint?: CheckpointOptions
  /** Ends the run between two steps, with a checkpoint. */
  readonly signal?: AbortSignal
  /** Milliseconds, for speed and time left. */
  readonly now?: () => number
  /** What a chat template that prints the date shows. */
  readonly date?: Date
}

const defaults: Omit<TrainSettings, 'maxTokens'> = {
  epochs: 1,
  batch: { rows: 4, tokens: 256 },
  packing: true,
  accumulation: 1,
  optimizer: 'adamw',
  optimizerOptions: {},
  learningRate: 1e-3,
  weightDecay: 0,
  schedule: 'cosine',
  warmupShare: 0.05,
  loraPlusRatio: 1,
  clip: 1,
  seed: 0,
  checkpointing: false,
}

const whole = (name: string, value: number | undefined, least = 1): string[] =>
  value === undefined || (Number.isSafeInteger(value) && value >= least)
    ? []
    : [`${name} must be a whole number from ${least}, got ${value}`]

const number = (name: string, value: number, fits: (value: number) => boolean, expected: string): string[] =>
  Number.isFinite(value) && fits(value) ? [] : [`${name} must be ${expected}, got ${value}`]

function attempt(check: () => unknown): string[] {
  try {
    check()
    return []
  } catch (error) {
    if (error instanceof OptionError) return [error.message]
    throw error
  }
}

/** Options with defaults filled in. Throws one OptionError that lists everything wrong; `maxPositions` is the model's context. */
export function completeSettings(options: TrainOptions, maxPositions: number): TrainSettings {
  const given = Object.fromEntries(Object.entries(options).filter(([key, value]) => settingNames.has(key) && value !== undefined))
  const partial = { ...defaults, ...(given as Partial<TrainSettings>) }
  const settings: TrainSettings = { ...partial, maxTokens: partial.maxTokens ?? Math.min(partial.batch.tokens, maxPositions) }
  const { batch, maxTokens } = settings
  const problems = [
    ...whole('epochs', settings.epochs),
    ...whole('steps', settings.steps),
    ...whole('batch.rows', batch.rows),
    ...whole('batch.tokens', batch.tokens, 2),
    ...whole('maxTokens', maxTokens, 2),
    ...whole('accumulation', settings.accumulation),
    ...whole('warmupSteps', settings.warmupSteps, 0),
    ...whole('validation.everySteps', options.validation?.everySteps),
    ...whole('checkpoint.everySteps', options.checkpoint?.everySteps),
    ...number('learningRate', settings.learningRate, (value) => value > 0, 'above 0'),
    ...number('warmupShare', settings.warmupShare, (value) => value >= 0 && value <= 1, 'from 0 to 1'),
    ...number('loraPlusRatio', settings.loraPlusRatio, (value) => value > 0, 'above 0'),
    ...(typeof settings.checkpointing === 'number' ? whole('checkpointing', settings.checkpointing) : []),
    ...number('clip', settings.clip, (value) => value >= 0, 'a number from 0'),
    ...number('seed', settings.seed, Number.isSafeInteger, 'a whole number'),
    ...(maxTokens > batch.tokens ? [`maxTokens (${maxTokens}) must not exceed batch.tokens (${batch.tokens})`] : []),
    ...(maxTokens > maxPositions ? [`maxTokens (${maxTokens}) must not exceed the model's context of ${maxPositions} tokens`] : []),
    ...attempt(() => scheduleNamed(settings.schedule)),
    ...attempt(() => optimizerSettings(settings)),
  ]
  if (problems.length > 0) throw new OptionError(`Training options: ${problems.join('; ')}.`)
  return settings
}

const settingNames = new Set([...Object.keys(defaults), 'steps', 'maxTokens', 'warmupSteps', 'system'])

/** The optimiser's complete settings, weight decay among them. */
export const optimizerSettings = ({ optimizer, optimizerOptions, weightDecay }: TrainSettings): object =>
  optimizerNamed(optimizer).complete({ weightDecay, ...optimizerOptions })

/** Steps of warm-up in a run of `steps`. */
export const warmupOf = ({ warmupSteps, warmupShare }: TrainSettings, steps: number): number =>
  warmupSteps ?? Math.ceil(warmupShare * steps)
