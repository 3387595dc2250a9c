// How far the fast path, whose products take activations in int8, lies from the exact one.

import type { Model } from './model.ts'
import { greedy } from './sampler.ts'
import { divergence } from './scoring.ts'

export interface QuantisationError {
  readonly prompts: number
  /** Mean KL(exact ‖ fast) of the next token, in nats. */
  readonly meanDivergence: number
  /** Share of prompts after which both choose the same token. */
  readonly equalGreedy: number
}

/** Compares the next token after each prompt, one prompt at a time. Both are 0 and 1 for models in f32, where there is only one path. */
export async function activationQuantisationError(model: Model, prompts: readonly string[]): Promise<QuantisationError> {
  let [total, equal] = [0, 0]
  for (const prompt of prompts) {
    const ids = [model.encode(prompt)]
    const [exact] = await model.nextLogits(ids, 'exact')
    const [fast] = await model.nextLogits(ids, 'fast')
    total += divergence(exact!, fast!)
    equal += greedy(exact!) === greedy(fast!) ? 1 : 0
  }
  const count = Math.max(1, prompts.length)
  return { prompts: prompts.length, meanDivergence: total / count, equalGreedy: equal / count }
}
