// One turn learned by a fast tier on layers and the tiers over the head, from one gradient at the
// head. Independent of prompts and users.

import { NumericError, ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { f32 } from '../../base/tensor.ts'
import type { LayerTier, LayerTierInput } from './layer-tier.ts'
import type { TierStack } from './tier-stack.ts'
import type { TrainingExample, UpdateResult } from './training-example.ts'

/** A sequence and its target tokens. */
export interface LayerTrainingExample
  extends LayerTierInput, Pick<TrainingExample, 'tokens' | 'weights' | 'rate' | 'observations'> {
  /** Final hidden states [M, D] of the rows under the current tier, if serving computed them. */
  readonly hidden?: Float32Array
}

/** The states of the rows [M, D]: keys of the memory, because no tier changes them. */
export function gatherKeys({
  states,
  rows,
}: Pick<LayerTierInput, 'states' | 'rows'>): Float32Array {
  const [count, width] = states.shape as [number, number]
  const outside = rows.find((row) => !(Number.isInteger(row) && row >= 0 && row < count))
  if (outside !== undefined)
    throw new ShapeError(
      `There is no row ${outside}: the training example has the states of ${count} tokens.`,
    )
  const keys = new Float32Array(rows.length * width)
  rows.forEach((row, i) =>
    keys.set(states.data.subarray(row * width, (row + 1) * width), i * width),
  )
  return keys
}

/**
 * Losses from before, then one step of the tiers over the head and one of the tier on layers, from
 * one gradient at the head. Throws NumericError for states with NaN or infinity; nothing has changed
 * then.
 */
export async function learnLayers(
  layerTier: LayerTier,
  stack: TierStack,
  example: LayerTrainingExample,
): Promise<UpdateResult> {
  const { states, rows, below, tokens, weights, rate, observations } = example
  if (!isAllFinite(states.data))
    throw new NumericError('Fast tier on layers: the example’s states hold NaN or infinity.')
  const input = { states, rows, below }
  const keys = gatherKeys(input)
  const hidden = example.hidden ?? (await layerTier.hidden(input)).data
  const result = await stack.learn({
    hidden,
    keys,
    tokens,
    weights,
    wantsGradient: true,
    ...(rate !== undefined && { rate }),
    ...(observations && { observations }),
  })
  if (weights?.every((weight) => weight === 0) !== true) {
    const error = f32([rows.length, states.shape[1]!], result.gradient)
    await layerTier.step(input, error, rate)
  }
  return result
}
