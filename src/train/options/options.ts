// What a run is set by: options, their defaults, and every mistake in them reported at once.

import type { Adapter } from '../../adapters/adapter.ts'
import type { Mixture } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import type { Quantization } from '../../graph/frozen/frozen-form-table.ts'
import type { EncodedData } from '../data/encode.ts'
import type { RawDataset } from '../data/jsonl.ts'
import { findEwcProblems, type EwcOptions } from '../ewc/options.ts'
import { getDefaultLearningRate } from './default-rates.ts'
import { findValueProblems, integer } from '../../base/schema.ts'
import type { Loss } from '../losses/loss.ts'
import { getLoss, losses } from '../losses/loss-table.ts'
import { getOptimizer, optimizers } from '../optimizers/optimizer-table.ts'
import type { Schedule } from '../schedules/schedule.ts'
import { getSchedule, schedules } from '../schedules/schedule-table.ts'
import { settingTable } from './setting-table.ts'
import type { SharedPrograms } from '../programs/shared-programs.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'

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
  /**
   * Several rows on a line, which do not see each other; else every row is padded on its own line.
   */
  readonly packing: boolean
  /** Batches per step. */
  readonly accumulation: number
  /** A row of `losses`. */
  readonly loss: string
  /** The loss's own options: for DPO beta, for distillation temperature and share. */
  readonly lossOptions: Readonly<Record<string, unknown>>
  readonly optimizer: string
  /** The optimiser's own options: for AdamW beta1, beta2, epsilon. */
  readonly optimizerOptions: Readonly<Record<string, unknown>>
  /** Of the highest step; see default-rates.ts for what is taken unless given. */
  readonly learningRate: number
  readonly weightDecay: number
  readonly schedule: string
  /** The schedule's own options: for cosine-restarts cycles and minimum. */
  readonly scheduleOptions: Readonly<Record<string, unknown>>
  /**
   * Steps at the beginning over which the learning rate rises: a share of all steps; 0.05, or what
   * the schedule has for itself.
   */
  readonly warmupShare: number
  /** The same as a number of steps, which counts before the share. */
  readonly warmupSteps?: number
  /**
   * LoRA+: how much larger B's learning rate is than A's (Hayou et al. 2024, arXiv:2402.12354). 1
   * is plain LoRA.
   */
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
  /** Keeps the base's matrices quantised while training (QLoRA); in f32 unless given. */
  readonly quantization?: Quantization
  /**
   * Recomputes layers on the way back instead of keeping them: less memory, more time. A number:
   * into how many segments.
   */
  readonly checkpointing: boolean | number
  /** System message for rows that have none. */
  readonly system?: string
}

/**
 * What is imitated: an adapter or a mixture on the model that is trained, or another model of the
 * same vocabulary, with or without an adapter.
 */
export interface Teacher {
  readonly adapter?: Adapter
  readonly mixture?: Mixture['mixture']
  readonly model?: TrainableModel
}

export interface TrainOptions extends Partial<TrainSettings> {
  readonly model: TrainableModel
  /** An adapter to train on, or the kind and options of a fresh one. */
  readonly adapter:
    Adapter | { readonly kind: string; readonly config: Readonly<Record<string, unknown>> }
  readonly data: RawDataset | EncodedData
  readonly validation?: {
    readonly data: RawDataset | EncodedData
    /**
     * Steps between validations; at the end of each epoch unless given, and always at the last
     * step.
     */
    readonly everySteps?: number
  }
  readonly checkpoint?: CheckpointOptions
  /** Protects what earlier tasks need, and tells at the end what this one does. LoRA only. */
  readonly ewc?: EwcOptions
  /** For the loss 'distillation'. */
  readonly teacher?: Teacher
  /** For losses over pairs with a reference: an adapter in place of the bare base. */
  readonly reference?: Adapter
  /**
   * Programs that runs over one base share: `createSharedPrograms()`, where several follow one another.
   */
  readonly programs?: SharedPrograms
  /** Ends the run between two steps, with a checkpoint. */
  readonly signal?: AbortSignal
  /** Milliseconds, for speed and time left. */
  readonly now?: () => number
  /** What a chat template that prints the date shows. */
  readonly date?: Date
}

const defaults = {
  ...(Object.fromEntries(
    Object.entries(settingTable).flatMap(([name, spec]) =>
      'default' in spec ? [[name, spec.default]] : [],
    ),
  ) as Pick<
    TrainSettings,
    | 'epochs'
    | 'packing'
    | 'accumulation'
    | 'loss'
    | 'optimizer'
    | 'schedule'
    | 'loraPlusRatio'
    | 'clip'
    | 'minimumDelta'
    | 'divergenceFactor'
    | 'seed'
  >),
  batch: { rows: 4, tokens: 256 },
  lossOptions: {},
  optimizerOptions: {},
  weightDecay: 0,
  scheduleOptions: {},
  checkpointing: false,
}
const defaultWarmupShare = 0.05

const findIntegerProblems = (name: string, value: unknown, from = 1): string[] =>
  value === undefined ? [] : integer({ from }).findProblems(value, name)

function findProblems(check: () => unknown): string[] {
  try {
    check()
    return []
  } catch (error) {
    if (error instanceof OptionError) return [error.message]
    throw error
  }
}

/** Tokens that a row may have: of a line half, where both rows of a pair lie on it. */
const computeDefaultMaxTokens = ({
  batch,
  packing,
  loss,
}: Pick<TrainSettings, 'batch' | 'packing' | 'loss'>): number =>
  packing && losses.get(loss)?.learnsFrom === 'pairs' ? Math.floor(batch.tokens / 2) : batch.tokens

/** What was given, with everything filled in that was not. */
function withDefaults(options: TrainOptions, maxPositions: number): TrainSettings {
  const given = Object.fromEntries(
    Object.entries(options).filter(([key, value]) => settingNames.has(key) && value !== undefined),
  )
  const known = { ...defaults, ...(given as Partial<TrainSettings>) }
  return {
    ...known,
    maxTokens: known.maxTokens ?? Math.min(computeDefaultMaxTokens(known), maxPositions),
    learningRate:
      known.learningRate ??
      getDefaultLearningRate(options.adapter.kind, known.optimizer) *
        (losses.get(known.loss)?.rateFactor ?? 1),
    warmupShare:
      known.warmupShare ?? schedules.get(known.schedule)?.riseShare ?? defaultWarmupShare,
  }
}

/**
 * Options with defaults filled in. Throws one OptionError that lists everything wrong;
 * `maxPositions` is the model's context.
 */
export function completeSettings(options: TrainOptions, maxPositions: number): TrainSettings {
  const settings = withDefaults(options, maxPositions)
  const { batch, maxTokens } = settings
  const problems = [
    ...findValueProblems({ ...settings }, settingTable),
    ...findIntegerProblems('batch.rows', batch.rows),
    ...findIntegerProblems('batch.tokens', batch.tokens, 2),
    ...findIntegerProblems('validation.everySteps', options.validation?.everySteps),
    ...findIntegerProblems('checkpoint.everySteps', options.checkpoint?.everySteps),
    ...(typeof settings.checkpointing === 'number'
      ? findIntegerProblems('checkpointing', settings.checkpointing)
      : []),
    ...(maxTokens > batch.tokens
      ? [`maxTokens (${maxTokens}) must not exceed batch.tokens (${batch.tokens})`]
      : []),
    ...(maxTokens > maxPositions
      ? [`maxTokens (${maxTokens}) must not exceed the model's context of ${maxPositions} tokens`]
      : []),
    ...(schedules.has(settings.schedule) ? findProblems(() => resolveSchedule(settings)) : []),
    ...(losses.has(settings.loss) ? findProblems(() => resolveLoss(settings)) : []),
    ...findAuxiliaryModelProblems(options, settings),
    ...findEwcProblems(options.ewc),
    ...(optimizers.has(settings.optimizer)
      ? findProblems(() => resolveOptimizerSettings(settings))
      : []),
    ...(settings.patience !== undefined && !options.validation
      ? ['patience needs validation data, and there is none']
      : []),
  ]
  if (problems.length > 0) throw new OptionError(`Training options: ${problems.join('; ')}.`)
  return settings
}

const settingNames = new Set([...Object.keys(settingTable), ...Object.keys(defaults), 'system'])

/** The loss with its complete settings. */
export function resolveLoss({
  loss: name,
  lossOptions,
}: Pick<TrainSettings, 'loss' | 'lossOptions'>): {
  loss: Loss
  settings: object
} {
  const loss = getLoss(name)
  return { loss, settings: loss.complete(lossOptions) }
}

/** A teacher or a reference that nobody asks, and a teacher that is missing. */
function findAuxiliaryModelProblems(
  { teacher, reference }: TrainOptions,
  settings: TrainSettings,
): string[] {
  const name = settings.loss
  if (!losses.has(name) || findProblems(() => resolveLoss(settings)).length > 0) return []
  const { loss, settings: own } = resolveLoss(settings)
  const asks = loss.frozen?.(own)?.role
  return [
    ...(asks === 'teacher' && !teacher?.adapter && !teacher?.mixture && !teacher?.model
      ? [`the loss "${name}" needs a teacher: { adapter }, { mixture } or { model }`]
      : []),
    ...(teacher?.adapter && teacher.mixture
      ? ['a teacher is an adapter or a mixture, not both']
      : []),
    ...(teacher && asks !== 'teacher'
      ? [`a teacher is for the loss "distillation", not for "${name}"`]
      : []),
    ...(reference && asks !== 'reference'
      ? [`a reference is for losses that compare with one; "${name}" with these options does not`]
      : []),
  ]
}

/** The optimiser's complete settings, weight decay among them. */
export const resolveOptimizerSettings = ({
  optimizer,
  optimizerOptions,
  weightDecay,
}: TrainSettings): object => getOptimizer(optimizer).complete({ weightDecay, ...optimizerOptions })

/** The schedule with its complete settings. */
export function resolveSchedule({ schedule: name, scheduleOptions }: TrainSettings): {
  schedule: Schedule
  settings: object
} {
  const schedule = getSchedule(name)
  return { schedule, settings: schedule.complete(scheduleOptions) }
}

/** Steps of warm-up in a run of `steps`. */
export const computeWarmupSteps = (
  { warmupSteps, warmupShare }: TrainSettings,
  steps: number,
): number => warmupSteps ?? Math.ceil(warmupShare * steps)
