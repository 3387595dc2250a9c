// What a standalone run is set by: the settings of `train` that have a meaning without a text, and
// rows of a batch. Everything wrong is said at once.

import { OptionError } from '../../base/errors.ts'
import { getOptimizer } from '../optimizers/optimizer-table.ts'
import { integer, readOptions, type OptionValues } from '../../base/schema.ts'
import { getSchedule } from '../schedules/schedule-table.ts'
import { settingTable } from '../options/setting-table.ts'

const {
  epochs,
  steps,
  optimizer,
  schedule,
  warmupShare,
  warmupSteps,
  loraPlusRatio,
  clip,
  patience,
  minimumDelta,
  divergenceFactor,
  seed,
} = settingTable

/** Rows of a batch: fewer cost updates, more cost steps. */
export const standaloneSettingTable = {
  epochs,
  steps,
  optimizer,
  schedule,
  warmupSteps,
  loraPlusRatio,
  clip,
  patience,
  minimumDelta,
  divergenceFactor,
  seed,
  warmupShare: { ...warmupShare, default: 0 },
  learningRate: { ...settingTable.learningRate, default: 0.005, about: 'of the highest step' },
  rows: integer({ default: 32, from: 1, about: 'examples of a step' }),
}

type Given = Readonly<Record<string, unknown>>

export interface StandaloneSettings extends OptionValues<typeof standaloneSettingTable> {
  /** The optimiser's own options: for AdamW beta1, beta2, epsilon, weightDecay. */
  readonly optimizerOptions: Given
  readonly scheduleOptions: Given
}

/**
 * Complete settings, and those of the optimiser and the schedule. Throws one OptionError that lists
 * everything wrong.
 */
export function completeStandaloneSettings({
  optimizerOptions = {},
  scheduleOptions = {},
  ...given
}: Partial<StandaloneSettings>): {
  readonly settings: StandaloneSettings
  readonly optimizer: object
  readonly schedule: object
} {
  const problems: string[] = []
  const attempt = <Value>(work: () => Value): Value | undefined => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      problems.push(error.message)
      return undefined
    }
  }
  const plain = attempt(() => readOptions('Standalone training', given, standaloneSettingTable))
  const optimizerName = plain?.optimizer ?? 'adamw'
  const scheduleName = plain?.schedule ?? 'cosine'
  const ofOptimizer = attempt(() => getOptimizer(optimizerName).complete(optimizerOptions))
  const ofSchedule = attempt(() => getSchedule(scheduleName).complete(scheduleOptions))
  if (!plain || !ofOptimizer || !ofSchedule) throw new OptionError(problems.join('\n'))
  return {
    settings: { ...plain, optimizerOptions, scheduleOptions },
    optimizer: ofOptimizer,
    schedule: ofSchedule,
  }
}
