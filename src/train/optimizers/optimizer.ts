// The contract of an optimiser: one file per optimiser, one row in optimizer-table.ts. It sees one
// parameter at a time. Independent of models, data and clocks.

import { type Fields } from '../../base/schema.ts'

/** One parameter at one step. */
export interface ParameterUpdate {
  /** Changed in place. */
  readonly parameter: Float32Array
  readonly gradient: Float32Array
  readonly shape: readonly number[]
  /**
   * Arrays by the names of `stateShapes`, zeros at the start; changed in place. An optimiser has no
   * other state.
   */
  readonly state: Readonly<Record<string, Float32Array>>
  /** Counted from 1. */
  readonly step: number
  readonly learningRate: number
}

export interface Optimizer<Settings extends object = object> {
  /** 'adamw' */
  readonly name: string
  /** One line for lists. */
  readonly about: string
  /** Its own options; `weightDecay` is among them. */
  readonly options: Fields
  /** Options with defaults filled in; throws one OptionError that lists everything wrong. */
  complete(options: Readonly<Record<string, unknown>>): Settings
  /** The state of a parameter of this shape. */
  stateShapes(
    shape: readonly number[],
    settings: Settings,
  ): Readonly<Record<string, readonly number[]>>
  /** One step: the same arguments always give the same numbers. */
  update(at: ParameterUpdate, settings: Settings): void
}
