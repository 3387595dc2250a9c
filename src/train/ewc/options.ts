// What a run may ask of EWC, checked with the other options.

import { checksum, type Fingerprint } from '../run/checkpoint.ts'
import { type OptionTable, valueProblems } from '../option-table.ts'
import { type EwcState, stateTensors } from './state.ts'

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
  lambda: {
    type: 'number',
    default: 0.03,
    least: 0,
    about: 'how hard earlier tasks pull; more keeps them better and learns the new one less',
  },
  decay: {
    type: 'number',
    default: 1,
    least: 0,
    most: 1,
    about: 'how much earlier tasks still count beside the newest: 1 as much, 0 not at all',
  },
  sample: {
    type: 'integer',
    default: 24,
    least: 1,
    about: 'rows that the importance of weights is measured on when the task is over',
  },
} as const satisfies OptionTable

const plain = ({ state: _state, ...values }: EwcOptions): Record<string, unknown> => ({ ...values })

/** All that is wrong with them. */
export const ewcProblems = (options: EwcOptions | undefined): string[] =>
  options ? valueProblems(ewcTable, plain(options)).map((problem) => `ewc: ${problem}`) : []

/** The options with defaults filled in. */
export const completeEwc = (options: EwcOptions): Required<Omit<EwcOptions, 'state'>> => ({
  lambda: options.lambda ?? ewcTable.lambda.default,
  decay: options.decay ?? ewcTable.decay.default,
  sample: options.sample ?? ewcTable.sample.default,
})

/** What of them decides how a run goes. */
export const ewcFingerprint = (options: EwcOptions | undefined): Fingerprint =>
  options
    ? {
        ewc: JSON.stringify(completeEwc(options)),
        ...(options.state && { ewcState: checksum(stateTensors(options.state)) }),
      }
    : {}
