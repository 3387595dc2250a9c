// Early stopping: ends a run after a number of validations without improvement. A function of the
// losses so far, which every checkpoint stores, so that a resumed run stops where an uninterrupted
// one does.

import { OptionError } from '../../base/errors.ts'
import type { ValidationRecord } from '../history.ts'

export interface PatienceSettings {
  /** The run ends after this many consecutive validations that are not better; undefined: never. */
  readonly patience?: number | undefined
  /** How much lower a loss must be to count as better. */
  readonly minimumDelta: number
}

/**
 * Validations since the loss last fell by more than `minimumDelta` below the one it was compared
 * with. A loss that is NaN is never better.
 */
export function countStaleValidations(
  validations: readonly ValidationRecord[],
  minimumDelta: number,
): number {
  let best = Infinity
  let since = 0
  for (const { loss } of validations) {
    if (loss < best - minimumDelta) {
      best = loss
      since = 0
    } else since++
  }
  return since
}

/** Whether the run ends, because `patience` consecutive validations were not better. */
export const isOutOfPatience = (
  validations: readonly ValidationRecord[],
  { patience, minimumDelta }: PatienceSettings,
): boolean => patience !== undefined && countStaleValidations(validations, minimumDelta) >= patience

/**
 * Throws OptionError if the patience could never run out, because nothing is validated, or too
 * seldom.
 */
export function checkPatience({ patience }: PatienceSettings, validations: number): void {
  if (patience === undefined || validations > patience) return
  const found =
    validations === 0
      ? 'nothing is validated: give validation data'
      : `the run has ${validations === 1 ? 'one validation' : `${validations} validations`}: validate more often, train longer, or use less patience`
  throw new OptionError(
    `Early stopping with a patience of ${patience} could never happen, because ${found}.`,
  )
}
