// The error of a model's logits that rounding an adapter's values causes: compares the original
// adapter with the rounded one, on the exact path.

import type { Adapter } from '../../adapters/index.ts'
import type { Model } from '../model.ts'
import { measurePredictionDistance, type PredictionDistance } from './prediction-distance.ts'
import type { Prompt } from '../prompt.ts'

export interface ForwardError extends PredictionDistance {
  /** ‖z' − z‖ / ‖z‖ over the logits z of the token after each prompt. */
  readonly relative: number
  /**
   * ‖z' − z‖ / ‖z − z₀‖, z₀ the base's own logits: the error as a share of what the adapter does. 0
   * if the adapter changes nothing and there is no error.
   */
  readonly ofChange: number
}

/**
 * Compares two forms of one adapter on some prompts, one prompt at a time. Throws MismatchError if
 * either does not fit the model.
 */
export async function measureForwardError(
  model: Model,
  before: Adapter,
  after: Adapter,
  prompts: readonly Prompt[],
): Promise<ForwardError> {
  const expected: Float32Array[] = []
  const got: Float32Array[] = []
  let error = 0
  let size = 0
  let change = 0
  for (const prompt of prompts) {
    const ids = [model.encode(prompt)]
    const [z] = (await model.nextLogits(ids, 'exact', { adapter: before })) as [Float32Array]
    const [other] = (await model.nextLogits(ids, 'exact', { adapter: after })) as [Float32Array]
    const [base] = (await model.nextLogits(ids, 'exact')) as [Float32Array]
    for (let i = 0; i < z.length; i++) {
      error += (other[i]! - z[i]!) ** 2
      size += z[i]! ** 2
      change += (z[i]! - base[i]!) ** 2
    }
    expected.push(z)
    got.push(other)
  }
  const ratio = (whole: number): number => (error === 0 ? 0 : Math.sqrt(error / whole))
  return {
    ...measurePredictionDistance(expected, got),
    relative: ratio(size),
    ofChange: ratio(change),
  }
}
