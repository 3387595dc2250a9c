// When the slow tier consolidates automatically: the schedule's options, whether it is due, and the
// consolidation in the background after a learned turn.

import { OptionError } from '../../base/errors.ts'
import {
  either,
  type Field,
  type GivenOptions,
  joinProblems,
  number,
  object,
  oneOf,
  positiveInteger,
} from '../../base/schema.ts'
import type { LearnerUser } from '../users/user.ts'

export const consolidationMethods = ['training', 'sum'] as const
export type ConsolidationMethod = (typeof consolidationMethods)[number]

const triggerFields = {
  /** Milliseconds of the learner's clock since the last consolidation. */
  everyMs: number({ above: 0 }),
  /** Learned turns since the last consolidation. */
  everyTurns: positiveInteger,
  /** Default 'sum', which costs a few passes of the model; a training costs many. */
  by: oneOf(consolidationMethods),
}
export type ConsolidationTrigger = GivenOptions<typeof triggerFields>

/**
 * When the slow tier consolidates automatically; 'by-hand': never. Checked after each learned turn.
 */
export type ConsolidationSchedule = 'by-hand' | ConsolidationTrigger

export const scheduleField: Field<ConsolidationSchedule> = either(
  oneOf(['by-hand']),
  object(triggerFields),
)

const hourMs = 3_600_000

/** What the schedule depends on, among a learner's options. */
export interface ScheduleContext {
  readonly hasClock: boolean
  readonly hasFastTier: boolean
}

export type ResolvedTrigger = ConsolidationTrigger & { readonly by: ConsolidationMethod }

/**
 * The trigger of a schedule: hourly by default where there is a clock. Undefined: by hand. Throws
 * OptionError for a schedule without a condition, or by time without a clock.
 */
export function resolveSchedule(
  schedule: ConsolidationSchedule | undefined,
  { hasClock, hasFastTier }: ScheduleContext,
): ResolvedTrigger | undefined {
  const given = schedule ?? (hasClock ? { everyMs: hourMs } : 'by-hand')
  if (given === 'by-hand') return undefined
  const { everyMs, everyTurns, by = hasFastTier ? 'sum' : 'training' } = given
  const problems: string[] = []
  if (everyMs === undefined && everyTurns === undefined)
    problems.push('it has neither everyMs nor everyTurns')
  if (everyMs !== undefined && !hasClock) problems.push('everyMs needs a clock: set `now`')
  if (by === 'sum' && !hasFastTier) problems.push('by "sum" needs a fast tier')
  if (problems.length > 0) throw new OptionError(`Slow tier, schedule: ${joinProblems(problems)}`)
  return {
    ...(everyMs !== undefined && { everyMs }),
    ...(everyTurns !== undefined && { everyTurns }),
    by,
  }
}

/** Whether enough turns were learned, or enough time passed, since the last consolidation. */
export function isConsolidationDue(
  { learned, consolidated }: Pick<LearnerUser, 'learned' | 'consolidated'>,
  { everyMs = Infinity, everyTurns = Infinity }: ConsolidationTrigger,
  time: number,
): boolean {
  const turns = learned - consolidated.learned
  return turns > 0 && (turns >= everyTurns || time - consolidated.time >= everyMs)
}

/** Runs `consolidateIfDue` in the background, at most once at a time for each user. */
export class ConsolidationScheduler {
  readonly #consolidateIfDue: (user: string) => Promise<unknown>
  readonly #addBackground: (user: string, work: Promise<unknown>) => void
  readonly #running = new Set<string>()

  constructor(
    consolidateIfDue: (user: string) => Promise<unknown>,
    addBackground: (user: string, work: Promise<unknown>) => void,
  ) {
    this.#consolidateIfDue = consolidateIfDue
    this.#addBackground = addBackground
  }

  /** To be called after each learned turn. */
  check(user: string): void {
    if (this.#running.has(user)) return
    this.#running.add(user)
    const done = this.#consolidateIfDue(user).finally(() => this.#running.delete(user))
    this.#addBackground(user, done)
  }
}
