// The rule by which a step changes parameters: an optimiser with its settings, clipping, penalty
// and learning rates.

import type { Optimizer } from './optimizer.ts'
import type { Penalty } from './penalty.ts'

export interface StepRule {
  readonly optimizer: Optimizer
  readonly settings: object
  /** Largest norm of all gradients together; 0 does not clip. */
  readonly clip: number
  /** A penalty on the parameters; its value is not part of the reported loss. */
  readonly penalty?: Penalty
  /** The factor of a parameter's learning rate. */
  rateOf(key: string): number
}
