// Turns as the tiers learn them: a prompt and an answer as ids, the final hidden states before each
// token of the answer, and what those are worth to a student. Knows a model; no users.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Model, Prompt } from '../../runtime/index.ts'
import type { EncodedSequence } from '../../train/data/encode.ts'
import type { LayerTierInput } from '../tiers/layer-tier.ts'
import { gatherKeys } from '../tiers/layer-tier-program.ts'
import type { Scores, TierStack } from '../tiers/tier-stack.ts'

/** An example to learn from, or to watch: what was asked, and the answer that was right. */
export interface TurnExample {
  readonly prompt: Prompt
  readonly completion: string
}

/** A prompt and its answer, one after the other. */
export interface EncodedTurn {
  readonly ids: readonly number[]
  readonly promptTokens: number
}

/** Hidden states [T, D] that stand before the answer's tokens, and those tokens. */
export interface TurnStates {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /**
   * For a tier on layers: the states of the whole turn as they enter its lowest layer, and which of
   * them the answer stands on.
   */
  readonly layerInput?: LayerTierInput
  /**
   * What the memory knows the answer's positions by: states that enter a layer below all that
   * learns.
   */
  readonly keys?: Float32Array
}

export const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** Rows [D] one after the other. */
export function joinRows(rows: readonly Float32Array[], width: number): Float32Array {
  const all = new Float32Array(rows.length * width)
  rows.forEach((row, t) => all.set(row, t * width))
  return all
}

/** A turn as a training row: of its tokens only the answer's are learned. */
export const toEncodedExample = ({ ids, promptTokens }: EncodedTurn): EncodedSequence => ({
  ids: Int32Array.from(ids),
  weights: Float32Array.from(ids, (_, t) => (t >= promptTokens ? 1 : 0)),
})

/** What keeps an example from being one. */
export function listExampleProblems({ prompt, completion }: TurnExample): string[] {
  const isPrompt = typeof prompt === 'string' || Array.isArray(prompt)
  return [
    ...(isPrompt
      ? []
      : [
          `prompt is ${prompt === null ? 'null' : typeof prompt}, expected a text, messages or token ids`,
        ]),
    ...(typeof completion === 'string'
      ? []
      : [`completion is ${completion === null ? 'null' : typeof completion}, expected a text`]),
  ]
}

/**
 * An example's ids. Throws OptionError for what is no example or has an empty prompt, NotFoundError
 * for a model that has no tokenizer.
 */
export function encodeTurn(model: Model, { prompt, completion }: TurnExample): EncodedTurn {
  const problems = listExampleProblems({ prompt, completion })
  if (problems.length > 0)
    throw new OptionError(`This turn cannot be learned: ${problems.join('; ')}.`)
  const asked = model.encode(prompt)
  if (asked.length === 0)
    throw new OptionError(
      'This turn cannot be learned: its prompt is empty, so nothing stands before the answer.',
    )
  const { tokenizer } = model.base
  if (!tokenizer)
    throw new NotFoundError(
      `Model "${model.base.name}" has no tokenizer, so it cannot learn completions.`,
    )
  const answer = [
    ...tokenizer.encode(completion),
    ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId]),
  ]
  return { ids: [...asked, ...answer], promptTokens: asked.length }
}

/**
 * A memory knows a position by the states that enter the last layer but one: they tell what follows
 * better than the final ones (docs/learn.md), and no tier at the head or on the last two layers
 * moves them.
 */
export const selectKeyLayer = ({ layers }: Pick<ModelConfig, 'layers'>): number =>
  Math.max(0, layers.length - 2)

/** A turn's states, and those of them that its answer stands on. */
export function joinStates(
  parts: readonly Float32Array[],
  { ids, promptTokens }: EncodedTurn,
  width: number,
): Required<Pick<TurnStates, 'layerInput' | 'keys'>> {
  const rows = Array.from({ length: ids.length - promptTokens }, (_, t) => promptTokens + t - 1)
  const all = f32([ids.length - 1, width])
  let at = 0
  for (const part of parts) {
    all.data.set(part, at)
    at += part.length
  }
  const layerInput = { states: all, rows }
  return { layerInput, keys: gatherKeys(layerInput) }
}

/** One pass of the model over a turn, the head left out. `layer`: also the states that enter it. */
export async function computeTurnStates(
  model: Model,
  turn: EncodedTurn,
  adapter: Expert | undefined,
  layer?: number,
): Promise<TurnStates> {
  const { ids, promptTokens } = turn
  const at = [Array.from({ length: ids.length - promptTokens }, (_, t) => promptTokens + t - 1)]
  const { width } = model.config
  const parts: Float32Array[] = []
  const tap =
    layer === undefined
      ? {}
      : {
          states: {
            layer,
            take: (_: number, states: Float32Array) => void parts.push(states.slice()),
          },
        }
  const [rows] = await model.hidden([ids.slice(0, -1)], { at, ...(adapter && { adapter }), ...tap })
  const told = layer === undefined ? {} : joinStates(parts, turn, width)
  return { hidden: joinRows(rows!, width), tokens: ids.slice(promptTokens), ...told }
}

/**
 * Mean over the lessons of their mean losses: of the whole student, and of the model with the fast
 * tier alone.
 */
export async function measureLosses(
  lessons: readonly TurnStates[],
  student: TierStack,
): Promise<{ blend: number; fast: number }> {
  const readings: Scores[] = []
  for (const lesson of lessons) readings.push(await student.score(lesson))
  return {
    blend: computeMean(readings.map(({ losses }) => computeMean(losses))),
    fast: computeMean(readings.map(({ modelLosses }) => computeMean(modelLosses))),
  }
}

/** The same of turns as an expert gives them. */
export async function measureLoss(
  model: Model,
  turns: readonly EncodedTurn[],
  student: TierStack,
  adapter: Expert | undefined,
  layer?: number,
): Promise<number> {
  const losses: number[] = []
  for (const turn of turns)
    losses.push(
      computeMean(
        (await student.score(await computeTurnStates(model, turn, adapter, layer))).losses,
      ),
    )
  return computeMean(losses)
}
