// Options of a learner: one table with the rows of its parts. Every mistake is reported at once,
// also in options of tiers.

import type { Adapter } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import {
  createField,
  type Field,
  findOptionProblems,
  type GivenOptions,
  integer,
  isRecord,
  joinProblems,
  object,
  unchecked,
} from '../base/schema.ts'
import type { Model } from '../runtime/index.ts'
import type { TrainableModel } from '../train/programs/trainable-model.ts'
import { slowTierFields } from './slow/train-slow-tier.ts'
import { breadthField, placedTierFields } from './tiers/tier-options.ts'
import { turnExamplesField } from './turns/encode-turn.ts'
import { rewardFields } from './turns/reward.ts'
import { guardFields } from './updates/canary-guard.ts'
import { scheduleField } from './updates/consolidation-schedule.ts'
import { storageFields } from './users/user-registry.ts'

const learnerFields = {
  ...placedTierFields,
  ...rewardFields,
  ...storageFields,
  /** How many tokens of the vocabulary a gradient looks at. Default 64. */
  breadth: breadthField,
  /** The slow tier. Its schedule is hourly where there is a clock, and 'by-hand' without one. */
  slow: object({ ...slowTierFields, schedule: scheduleField }),
  /** Turns whose loss must not rise, whatever is learned. */
  canaries: turnExamplesField,
  /** Checks of the canaries. */
  guard: object(guardFields),
  /** Answers of a user that can still be rated. Default 32. */
  keptTurns: integer({ from: 0, default: 32 }),
  /** Turns of a user kept for the next consolidation. Default 256. */
  keptRows: integer({ from: 1, default: 256 }),
  /**
   * Learned turns of a user that `unlearn` can undo separately. Default 256. They are kept as ids,
   * and no longer than since the oldest version from which it can begin again.
   */
  keptHistory: integer({ from: 0, default: 256 }),
  /** Versions of a user's slow tier that can be restored, besides the start. Default 4. */
  keptVersions: integer({ from: 1, default: 4 }),
}

export interface LearnerOptions extends GivenOptions<typeof learnerFields> {
  readonly model: Model & TrainableModel
  /** Users start from this expert in place of the base; a user's state belongs to it. */
  readonly expert?: Adapter | undefined
}

const checkedFields = {
  ...learnerFields,
  model: unchecked('a model, as loadModel returns it'),
  expert: createField<Adapter>('an adapter', {}, (value) => isRecord(value) && 'tensors' in value),
} satisfies Record<keyof LearnerOptions, Field>

/** Throws OptionError with everything that is wrong with a learner's options. */
export function checkLearnerOptions(options: unknown): asserts options is LearnerOptions {
  if (!isRecord(options)) throw new OptionError('Learner options: expected an object.')
  const problems = findOptionProblems(options, checkedFields)
  problems.push(...findMixedOptions(options['fast']))
  if (!isRecord(options['model'])) problems.unshift('model is missing')
  if (problems.length > 0) throw new OptionError(`Learner options: ${joinProblems(problems)}`)
}

/** Defaults of the numbers of turns and versions that are kept for each user. */
export const readKeptCounts = (
  options: LearnerOptions,
): Readonly<Record<'keptTurns' | 'keptRows' | 'keptHistory' | 'keptVersions', number>> => ({
  keptTurns: options.keptTurns ?? learnerFields.keptTurns.default,
  keptRows: options.keptRows ?? learnerFields.keptRows.default,
  keptHistory: options.keptHistory ?? learnerFields.keptHistory.default,
  keptVersions: options.keptVersions ?? learnerFields.keptVersions.default,
})

/**
 * Options of one fast tier together with those of two: it would not be clear to which they apply.
 */
function findMixedOptions(fast: unknown): string[] {
  if (!isRecord(fast) || (fast['head'] === undefined && fast['layers'] === undefined)) return []
  const beside = Object.keys(fast).filter(
    (name) => !['head', 'layers'].includes(name) && fast[name] !== undefined,
  )
  if (beside.length === 0) return []
  const names = beside.map((name) => `fast.${name}`).join(', ')
  return [`${names}: got it next to fast.head or fast.layers, expected it inside of one of them`]
}
