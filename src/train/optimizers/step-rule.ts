// The rule by which a step changes parameters: an optimiser with its settings, clipping, penalty
// and learning rates.

import type { Optimizer } from './optimizer.ts'
import type { Penalty } from './penalty.ts'

export interface StepRule {
  readonly optimizer: Optimizer
  readonly settings: object
  /** Largest norm of all gradients together; 0 does not clip. */
  readonly clip: number
  /** What else pulls on the parameters; its value is no part of the loss. */
  readonly penalty?: Penalty
  /** What a parameter's learning rate is multiplied by. */
  rateOf(key: string): number
}
