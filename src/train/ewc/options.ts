// The options of EWC: their table, their defaults, and what of them identifies a run.

import { createOpaqueField } from '../../base/opaque-field.ts'
import { integer, isRecord, number } from '../../base/schema.ts'
import { computeChecksum, type Fingerprint } from '../fingerprint.ts'
import { type EwcState, collectStateTensors } from './state.ts'

export interface EwcOptions {
  /** Strength of the penalty that protects earlier tasks. */
  readonly lambda?: number | undefined
  /** The state of earlier tasks; without it there is no penalty yet. */
  readonly state?: EwcState | undefined
  /** The weight of earlier tasks relative to this one, once it is over. */
  readonly decay?: number | undefined
  /** Rows that this task's importance is measured on. */
  readonly sample?: number | undefined
}

export type EwcSettings = Readonly<Record<keyof typeof ewcTable, number>>

export const ewcTable = {
  lambda: number({
    default: 0.03,
    from: 0,
    about:
      'strength of the protection: larger values keep earlier tasks better and learn the new one less',
  }),
  decay: number({
    default: 1,
    from: 0,
    to: 1,
    about: 'weight of earlier tasks relative to the newest: 1 equal, 0 none',
  }),
  sample: integer({
    default: 24,
    from: 1,
    about: 'rows on which the importance of weights is measured after the task',
  }),
}

export const ewcStateField = createOpaqueField<EwcState>(
  'the state of earlier tasks, as loadEwcState or consolidate returns it',
  (value) => isRecord(value) && value['modules'] instanceof Map,
)

/** Every option of EWC in training, by name. */
export const ewcOptionTable = { ...ewcTable, state: ewcStateField }

/** The options with defaults filled in. */
export const completeEwc = (options: EwcOptions): EwcSettings => ({
  lambda: options.lambda ?? ewcTable.lambda.default,
  decay: options.decay ?? ewcTable.decay.default,
  sample: options.sample ?? ewcTable.sample.default,
})

/** The options that determine a run's results. */
export const computeEwcFingerprint = (options: EwcOptions | undefined): Fingerprint =>
  options
    ? {
        ewc: JSON.stringify(completeEwc(options)),
        ...(options.state && { ewcState: computeChecksum(collectStateTensors(options.state)) }),
      }
    : {}
