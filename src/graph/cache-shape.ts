// The shape of a model's cache: keys and values of every position in layers with attention, a state
// of fixed size in layers with a convolution or a recurrence. Independent of rows and of element
// types.

import type { ModelConfig } from './model-config.ts'

/**
 * A state is valid only after one particular token. For a window, the last inputs of a convolution
 * [L−1, D], a call returns the inputs of every new token [N, T, D], so that the state after each of
 * them is known. For a recurrence it returns only the state after the last token.
 */
export interface StateShape {
  /** 'conv.0': the input is past.conv.0, the output cache.conv.0. */
  readonly name: string
  readonly kind: 'window' | 'recurrence'
  /** Of one row: [L−1, D] for a window. It is zero before the first token. */
  readonly shape: readonly number[]
}

export interface CacheShape {
  /** Layers with attention. */
  readonly layers: number
  readonly kvHeads: number // K
  readonly headWidth: number // d
  readonly states?: readonly StateShape[]
}

export const toWindowName = (index: number): string => `conv.${index}`
export const toRecurrenceName = (index: number): string => `delta.${index}`

/** The contents of a row of this model's cache. */
export function computeCacheShape({
  layers,
  kvHeads,
  headWidth,
  convolution,
  recurrence,
}: ModelConfig): CacheShape {
  const states = layers
    .filter(({ mixer }) => mixer !== undefined)
    .flatMap(({ mixer }, index): StateShape[] => {
      const { kernel, width } = convolution!
      const window = [kernel - 1, width]
      const before: StateShape = { name: toWindowName(index), kind: 'window', shape: window }
      if (mixer === 'convolution') return [before]
      const { heads, keyWidth, valueWidth } = recurrence!
      const shape = [heads, keyWidth, valueWidth]
      return [before, { name: toRecurrenceName(index), kind: 'recurrence', shape }]
    })
  const attending = layers.filter(({ mixer }) => mixer === undefined).length
  return { layers: attending, kvHeads, headWidth, ...(states.length > 0 ? { states } : {}) }
}
