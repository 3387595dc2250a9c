// What a run is set by: options, their defaults, and every mistake in them reported at once.

import type { Adapter } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { EncodedData } from './data/encode.ts'
import type { DataSet } from './data/jsonl.ts'
import { usualLearningRate } from './default-rates.ts'
import { valueProblems } from './option-table.ts'
import { optimizerNamed, optimizers } from './optimizers/optimizers.ts'
import type { Schedule } from './schedules/schedule.ts'
import { scheduleNamed, schedules } from './schedules/schedules.ts'
import { settingTable } from './setting-table.ts'

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
  /** Of the highest step; see default-rates.ts for what is taken unless given. */
  readonly learningRate: number
  readonly weightDecay: number
  readonly schedule: string
  /** The schedule's own options: for cosine-restarts cycles and minimum. */
  readonly scheduleOptions: Readonly<Record<string, unknown>>
  /** Steps at the beginning over which the learning rate rises: a share of all steps; 0.05, or what the schedule has for itself. */
  readonly warmupShare: number
  /** The same as a number of steps, which counts before the share. */
  readonly warmupSteps?: number
  /** LoRA+: how much larger B's learning rate is than A's (Hayou et al. 2024, arXiv:2402.12354). 1 is plain LoRA. */
  readonly loraPlusRatio: number
  /** Largest norm of all gradients together; 0 does not clip. */
  readonly clip: number
  /** So many validations in a row without a better loss end the run. */
  readonly patience?: number
  /** How much lower a validation loss must be to count as better. */
  readonly minimumDelta: number
  /** A loss that stays above so many times its start ends the run with an error; 0: never. */
  readonly divergenceFactor: number
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

const defaults = {
  ...(Object.fromEntries(Object.entries(settingTable).flatMap(([name, spec]) => ('default' in spec ? [[name, spec.default]] : []))) as Pick<
    TrainSettings,
    | 'epochs'
    | 'packing'
    | 'accumulation'
    | 'optimizer'
    | 'schedule'
    | 'loraPlusRatio'
    | 'clip'
    | 'minimumDelta'
    | 'divergenceFactor'
    | 'seed'
  >),
  batch: { rows: 4, tokens: 256 },
  optimizerOptions: {},
  weightDecay: 0,
  scheduleOptions: {},
  checkpointing: false,
}
const usualWarmupShare = 0.05

const whole = (name: string, value: number | undefined, least = 1): string[] =>
  valueProblems({ [name]: { type: 'integer', least, about: '' } }, { [name]: value })

function attempt(check: () => unknown): string[] {
  try {
    check()
    return []
  } catch (error) {
    if (error instanceof OptionError) return [error.message]
    throw error
  }
}

/** What was given, with everything filled in that was not. */
function filled(options: TrainOptions, maxPositions: number): TrainSettings {
  const given = Object.fromEntries(Object.entries(options).filter(([key, value]) => settingNames.has(key) && value !== undefined))
  const known = { ...defaults, ...(given as Partial<TrainSettings>) }
  return {
    ...known,
    maxTokens: known.maxTokens ?? Math.min(known.batch.tokens, maxPositions),
    learningRate: known.learningRate ?? usualLearningRate(options.adapter.kind, known.optimizer),
    warmupShare: known.warmupShare ?? schedules.get(known.schedule)?.riseShare ?? usualWarmupShare,
  }
}

/** Options with defaults filled in. Throws one OptionError that lists everything wrong; `maxPositions` is the model's context. */
export function completeSettings(options: TrainOptions, maxPositions: number): TrainSettings {
  const settings = filled(options, maxPositions)
  const { batch, maxTokens } = settings
  const problems = [
    ...valueProblems(settingTable, { ...settings }),
    ...whole('batch.rows', batch.rows),
    ...whole('batch.tokens', batch.tokens, 2),
    ...whole('validation.everySteps', options.validation?.everySteps),
    ...whole('checkpoint.everySteps', options.checkpoint?.everySteps),
    ...(typeof settings.checkpointing === 'number' ? whole('checkpointing', settings.checkpointing) : []),
    ...(maxTokens > batch.tokens ? [`maxTokens (${maxTokens}) must not exceed batch.tokens (${batch.tokens})`] : []),
    ...(maxTokens > maxPositions ? [`maxTokens (${maxTokens}) must not exceed the model's context of ${maxPositions} tokens`] : []),
    ...(schedules.has(settings.schedule) ? attempt(() => scheduleOf(settings)) : []),
    ...(optimizers.has(settings.optimizer) ? attempt(() => optimizerSettings(settings)) : []),
    ...(settings.patience !== undefined && !options.validation ? ['patience needs validation data, and there is none'] : []),
  ]
  if (problems.length > 0) throw new OptionError(`Training options: ${problems.join('; ')}.`)
  return settings
}

const settingNames = new Set([...Object.keys(settingTable), ...Object.keys(defaults), 'system'])

/** The optimiser's complete settings, weight decay among them. */
export const optimizerSettings = ({ optimizer, optimizerOptions, weightDecay }: TrainSettings): object =>
  optimizerNamed(optimizer).complete({ weightDecay, ...optimizerOptions })

/** The schedule with its complete settings. */
export function scheduleOf({ schedule: name, scheduleOptions }: TrainSettings): { schedule: Schedule; settings: object } {
  const schedule = scheduleNamed(name)
  return { schedule, settings: schedule.complete(scheduleOptions) }
}

/** Steps of warm-up in a run of `steps`. */
export const warmupOf = ({ warmupSteps, warmupShare }: TrainSettings, steps: number): number =>
  warmupSteps ?? Math.ceil(warmupShare * steps)
