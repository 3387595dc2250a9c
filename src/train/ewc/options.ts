// What a run may ask of EWC, checked with the other options.

import { computeChecksum, type Fingerprint } from '../fingerprint.ts'
import { findOptionProblems, integer, number } from '../../base/schema.ts'
import { type EwcState, collectStateTensors } from './state.ts'

export interface EwcOptions {
  /** How hard earlier tasks pull. */
  readonly lambda?: number
  /** What they left; without it nothing pulls yet. */
  readonly state?: EwcState
  /** How much earlier tasks count beside this one, once it is over. */
  readonly decay?: number
  /** Rows that this task's importance is measured on. */
  readonly sample?: number
}

export const ewcTable = {
  lambda: number({
    default: 0.03,
    from: 0,
    about: 'how hard earlier tasks pull; more keeps them better and learns the new one less',
  }),
  decay: number({
    default: 1,
    from: 0,
    to: 1,
    about: 'how much earlier tasks still count beside the newest: 1 as much, 0 not at all',
  }),
  sample: integer({
    default: 24,
    from: 1,
    about: 'rows that the importance of weights is measured on when the task is over',
  }),
}

const removeState = ({ state: _state, ...values }: EwcOptions): Record<string, unknown> => ({
  ...values,
})

/** All that is wrong with them. */
export const findEwcProblems = (options: EwcOptions | undefined): string[] =>
  options
    ? findOptionProblems(removeState(options), ewcTable).map((problem) => `ewc: ${problem}`)
    : []

/** The options with defaults filled in. */
export const completeEwc = (options: EwcOptions): Required<Omit<EwcOptions, 'state'>> => ({
  lambda: options.lambda ?? ewcTable.lambda.default,
  decay: options.decay ?? ewcTable.decay.default,
  sample: options.sample ?? ewcTable.sample.default,
})

/** What of them decides how a run goes. */
export const computeEwcFingerprint = (options: EwcOptions | undefined): Fingerprint =>
  options
    ? {
        ewc: JSON.stringify(completeEwc(options)),
        ...(options.state && { ewcState: computeChecksum(collectStateTensors(options.state)) }),
      }
    : {}
