// What a learner is set by, and every mistake in it at once. Knows none of its work.

import { OptionError } from '../base/errors.ts'
import type { Model } from '../runtime/index.ts'
import type { TrainableModel } from '../train/programs/trainable-model.ts'
import type { SlowTierOptions } from './slow/train-slow-tier.ts'
import type { HeadTierOptions } from './tiers/head-tier.ts'
import type { Breadth } from './tiers/head-gradient.ts'
import type { TierTargets } from './tiers/tier-targets.ts'
import type { RewardOptions } from './turns/reward.ts'
import { stateForms } from './store/state-image.ts'
import type { PoolProblem, UserPoolOptions } from './store/user-pool.ts'
import type { UserStore } from './store/user-store.ts'
import type { TierStackOptions } from './tiers/tier-stack.ts'
import { type TurnExample, listExampleProblems } from './turns/turns.ts'

/** When the slow tier takes over by itself; 'by-hand': never. Asked after each learned turn. */
export type ConsolidationSchedule = 'by-hand' | ConsolidationTrigger

export interface ConsolidationTrigger {
  /** So many milliseconds of the learner's clock since the last time. */
  readonly everyMs?: number
  /** So many learned turns since the last time. */
  readonly everyTurns?: number
  /** 'sum' unless given: it costs a few passes of the model, a training many. */
  readonly by?: ConsolidationMethod
}

export type ConsolidationMethod = 'training' | 'sum'

export interface GuardOptions {
  /** So many learned turns lie between two looks at the canaries; 16 unless given. */
  readonly everyTurns?: number
  /**
   * By how large a share their loss may be above that without fast tier and memory; 0.01 unless
   * given.
   */
  readonly bound?: number
}

export interface LearnerOptions extends TierStackOptions, RewardOptions {
  readonly model: Model & TrainableModel
  /**
   * With `where`, in modules of the layers instead of at the head: rank 2, learningRate 5e-3 and
   * trust 0.01 unless given.
   */
  readonly fast?: (HeadTierOptions & { readonly where?: TierTargets }) | false
  /** How much of the vocabulary a gradient looks at: 64 unless given. */
  readonly breadth?: Breadth
  /** The schedule is hourly where there is a clock, and 'by-hand' where there is none. */
  readonly slow?: SlowTierOptions & { readonly schedule?: ConsolidationSchedule }
  /** Must not get worse, whatever is learned. */
  readonly canaries?: readonly TurnExample[]
  readonly guard?: GuardOptions
  /** Answers that may still be judged, by user; 32 unless given. */
  readonly keptTurns?: number
  /** Turns kept as rows for the next consolidation, by user; 256 unless given. */
  readonly keptRows?: number
  /**
   * Versions of the slow tier that can be gone back to, by user, besides the start; 4 unless given.
   */
  readonly keptVersions?: number
  /** Where users are saved after each learned turn; without it they live as long as the learner. */
  readonly store?: UserStore
  /** Bytes of memory for users that nobody is using, with a store; 256 MB unless given. */
  readonly limitBytes?: number
  /** How users in memory are saved; 'f32' unless given. */
  readonly hotForm?: UserPoolOptions<unknown>['hotForm']
  /** How users are kept that leave memory; 'int8' unless given. */
  readonly coldForm?: UserPoolOptions<unknown>['coldForm']
  /**
   * Milliseconds since 1970; the times of checkpoints and versions, and what an hourly schedule
   * goes by.
   */
  readonly now?: () => number
  /**
   * Told of what no caller can be told: a save that failed, a user whom another process wrote too,
   * a scheduled consolidation that failed.
   */
  readonly onProblem?: (problem: PoolProblem) => void
}

const hourMs = 3_600_000
const isWholeNumber = (value: unknown, least: number): boolean =>
  value === undefined || (Number.isInteger(value) && Number(value) >= least)
const isAmong = (value: unknown, of: readonly unknown[]): boolean =>
  value === undefined || of.includes(value)

/**
 * Throws OptionError with everything that is wrong with a learner's own options; those of its tiers
 * are theirs.
 */
export function checkLearnerOptions({
  keptTurns,
  keptRows,
  keptVersions,
  hotForm,
  coldForm,
  qualityRate,
  canaries = [],
}: LearnerOptions): void {
  const forms = stateForms.join(', ')
  const rules: readonly (readonly [boolean, string])[] = [
    [isWholeNumber(keptTurns, 0), `keptTurns is ${keptTurns}, expected a whole number ≥ 0`],
    [isWholeNumber(keptRows, 1), `keptRows is ${keptRows}, expected a whole number above 0`],
    [
      isWholeNumber(keptVersions, 1),
      `keptVersions is ${keptVersions}, expected a whole number above 0`,
    ],
    [
      isAmong(hotForm, stateForms),
      `hotForm is ${JSON.stringify(hotForm)}, expected one of ${forms}`,
    ],
    [
      isAmong(coldForm, stateForms),
      `coldForm is ${JSON.stringify(coldForm)}, expected one of ${forms}`,
    ],
    [
      isAmong(qualityRate, ['fixed', 'variance']),
      `qualityRate is ${JSON.stringify(qualityRate)}, expected "fixed" or "variance"`,
    ],
    ...canaries.flatMap((canary, i) =>
      listExampleProblems(canary).map((problem) => [false, `canaries[${i}]: ${problem}`] as const),
    ),
  ]
  const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
  if (broken.length > 0) throw new OptionError(`This learner cannot be made: ${broken.join('; ')}.`)
}

/**
 * The schedule as it is meant. Throws OptionError for one that is neither by time nor by turns, or
 * by a time without a clock.
 */
export function resolveSchedule({
  slow,
  now,
  fast,
}: Pick<LearnerOptions, 'slow' | 'now' | 'fast'>): ConsolidationTrigger | undefined {
  const given = slow?.schedule ?? (now ? { everyMs: hourMs } : 'by-hand')
  if (given === 'by-hand') return undefined
  const { everyMs, everyTurns, by = fast === false ? 'training' : 'sum' } = given
  const rules: readonly (readonly [boolean, string])[] = [
    [everyMs !== undefined || everyTurns !== undefined, 'it has neither everyMs nor everyTurns'],
    [everyMs === undefined || everyMs > 0, `everyMs is ${everyMs}, expected a number above 0`],
    [everyMs === undefined || now !== undefined, 'everyMs needs a clock: give `now`'],
    [
      everyTurns === undefined || (Number.isInteger(everyTurns) && everyTurns > 0),
      `everyTurns is ${everyTurns}, expected a whole number above 0`,
    ],
    [
      by === 'training' || by === 'sum',
      `by is ${JSON.stringify(by)}, expected "training" or "sum"`,
    ],
    [by !== 'sum' || fast !== false, 'by "sum" needs a fast tier'],
  ]
  const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
  if (broken.length > 0)
    throw new OptionError(`Slow tier: the schedule cannot be followed: ${broken.join('; ')}.`)
  return {
    ...(everyMs !== undefined && { everyMs }),
    ...(everyTurns !== undefined && { everyTurns }),
    by,
  }
}
