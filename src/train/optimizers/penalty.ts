// A penalty on the parameters in addition to the loss. Training adds its gradient at every step and
// is independent of what it computes.

import type { F32Tensor, Tensor } from '../../base/tensor.ts'

export interface Penalty {
  /**
   * Adds the penalty's gradient to `gradients` in place, both by PEFT key, and returns its value,
   * which is not part of the reported loss. Called once a step, before clipping.
   */
  add(
    parameters: ReadonlyMap<string, F32Tensor>,
    gradients: ReadonlyMap<string, Pick<Tensor, 'data'>>,
  ): number
}
