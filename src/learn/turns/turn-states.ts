// Hidden states of a turn, as tiers learn from them: final states before each token of the answer,
// and states of a lower layer. Independent of users and tiers.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { f32 } from '../../base/tensor.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Model } from '../../runtime/index.ts'
import type { LayerTierInput } from '../tiers/layer-tier.ts'
import { gatherKeys } from '../tiers/learn-layers.ts'
import type { EncodedTurn } from './encode-turn.ts'

/** Final hidden states [T, D] before the answer's tokens, and those tokens. */
export interface TurnStates {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /**
   * For a tier on layers: the whole turn's states at the input of its lowest layer, and the rows
   * before the answer's tokens.
   */
  readonly layerInput?: LayerTierInput
  /** The memory's keys of the answer's positions: states below every layer that learns. */
  readonly keys?: Float32Array
}

/** Rows [D] one after the other. */
export function joinRows(rows: readonly Float32Array[], width: number): Float32Array {
  const joined = new Float32Array(rows.length * width)
  rows.forEach((row, t) => joined.set(row, t * width))
  return joined
}

/**
 * The layer whose input states are a memory's keys, the last but one: they predict the next token
 * better than final states (docs/learn-results.md), and no tier at the head or on the last two layers
 * changes them. The input of layer 0 is no choice, because it is the embedding of the last token
 * alone: of two layers it is the last one, and undefined (final states are the keys) of a single one.
 */
export const selectKeyLayer = ({ layers }: Pick<ModelConfig, 'layers'>): number | undefined =>
  layers.length < 2 ? undefined : Math.max(1, layers.length - 2)

/** Positions before each token of the answer. */
const listAnswerRows = ({ ids, promptTokens }: EncodedTurn): number[] =>
  Array.from({ length: ids.length - promptTokens }, (_, t) => promptTokens + t - 1)

/** A turn's states at a layer's input, and those at the answer's positions as keys. */
export function joinStates(
  parts: readonly Float32Array[],
  turn: EncodedTurn,
  width: number,
): Required<Pick<TurnStates, 'layerInput' | 'keys'>> {
  const states = f32([turn.ids.length - 1, width])
  let at = 0
  for (const part of parts) {
    states.data.set(part, at)
    at += part.length
  }
  const layerInput = { states, rows: listAnswerRows(turn) }
  return { layerInput, keys: gatherKeys(layerInput) }
}

/** One pass of the model over a turn, without the head. `layer`: also the states at its input. */
export async function computeTurnStates(
  model: Model,
  turn: EncodedTurn,
  adapter: Expert | undefined,
  layer?: number,
): Promise<TurnStates> {
  const { ids, promptTokens } = turn
  const { width } = model.config
  const parts: Float32Array[] = []
  const take = (_: number, states: Float32Array): void => void parts.push(states.slice())
  const [rows] = await model.hidden([ids.slice(0, -1)], {
    at: [listAnswerRows(turn)],
    ...(adapter && { adapter }),
    ...(layer !== undefined && { states: { layer, take } }),
  })
  return {
    hidden: joinRows(rows!, width),
    tokens: ids.slice(promptTokens),
    ...(layer !== undefined && joinStates(parts, turn, width)),
  }
}
