// Distance of the fast path, whose products use int8 activations, from the exact path.

import type { Model } from '../model.ts'
import { measurePredictionDistance, type PredictionDistance } from './prediction-distance.ts'

/**
 * Compares the next token after each prompt, one prompt at a time. There is no distance for models
 * in f32, where there is only one path.
 */
export async function measureActivationError(
  model: Model,
  prompts: readonly string[],
): Promise<PredictionDistance> {
  const exact: Float32Array[] = []
  const fast: Float32Array[] = []
  for (const prompt of prompts) {
    const ids = [model.encode(prompt)]
    exact.push(...(await model.nextLogits(ids, 'exact')))
    fast.push(...(await model.nextLogits(ids, 'fast')))
  }
  return measurePredictionDistance(exact, fast)
}
