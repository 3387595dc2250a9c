// Turns as the tiers learn them: a prompt and an answer as ids, the final hidden states before each
// token of the answer, and what those are worth to a student. Knows a model; no users.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Model, Prompt } from '../../runtime/index.ts'
import type { EncodedRow } from '../../train/data/encode.ts'
import type { DeepInput } from '../tiers/layer-tier.ts'
import { keysOf } from '../tiers/layer-tier-program.ts'
import type { Reading, Student } from '../tiers/tier-stack.ts'

/** An example to learn from, or to watch: what was asked, and the answer that was right. */
export interface Example {
  readonly prompt: Prompt
  readonly completion: string
}

/** A prompt and its answer, one after the other. */
export interface Asked {
  readonly ids: readonly number[]
  readonly promptTokens: number
}

/** Hidden states [T, D] that stand before the answer's tokens, and those tokens. */
export interface TurnLesson {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /**
   * For a tier on layers: the states of the whole turn as they enter its lowest layer, and which of
   * them the answer stands on.
   */
  readonly states?: DeepInput
  /**
   * What the memory knows the answer's positions by: states that enter a layer below all that
   * learns.
   */
  readonly keys?: Float32Array
}

export const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** Rows [D] one after the other. */
export function flat(rows: readonly Float32Array[], width: number): Float32Array {
  const all = new Float32Array(rows.length * width)
  rows.forEach((row, t) => all.set(row, t * width))
  return all
}

/** A turn as a training row: of its tokens only the answer's are learned. */
export const rowOf = ({ ids, promptTokens }: Asked): EncodedRow => ({
  ids: Int32Array.from(ids),
  weights: Float32Array.from(ids, (_, t) => (t >= promptTokens ? 1 : 0)),
})

/** What keeps an example from being one. */
export function exampleProblems({ prompt, completion }: Example): string[] {
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
export function encoded(model: Model, { prompt, completion }: Example): Asked {
  const problems = exampleProblems({ prompt, completion })
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
export const keyLayer = ({ layers }: Pick<ModelConfig, 'layers'>): number =>
  Math.max(0, layers.length - 2)

/** A turn's states, and those of them that its answer stands on. */
export function statesOf(
  parts: readonly Float32Array[],
  { ids, promptTokens }: Asked,
  width: number,
): Required<Pick<TurnLesson, 'states' | 'keys'>> {
  const rows = Array.from({ length: ids.length - promptTokens }, (_, t) => promptTokens + t - 1)
  const all = f32([ids.length - 1, width])
  let at = 0
  for (const part of parts) {
    all.data.set(part, at)
    at += part.length
  }
  const states = { states: all, rows }
  return { states, keys: keysOf(states) }
}

/** One pass of the model over a turn, the head left out. `layer`: also the states that enter it. */
export async function lessonOf(
  model: Model,
  turn: Asked,
  adapter: Expert | undefined,
  layer?: number,
): Promise<TurnLesson> {
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
  const told = layer === undefined ? {} : statesOf(parts, turn, width)
  return { hidden: flat(rows!, width), tokens: ids.slice(promptTokens), ...told }
}

/**
 * Mean over the lessons of their mean losses: of the whole student, and of the model with the fast
 * tier alone.
 */
export async function lossesOver(
  lessons: readonly TurnLesson[],
  student: Student,
): Promise<{ blend: number; fast: number }> {
  const readings: Reading[] = []
  for (const lesson of lessons) readings.push(await student.read(lesson))
  return {
    blend: mean(readings.map(({ losses }) => mean(losses))),
    fast: mean(readings.map(({ modelLosses }) => mean(modelLosses))),
  }
}

/** The same of turns as an expert gives them. */
export async function lossOver(
  model: Model,
  turns: readonly Asked[],
  student: Student,
  adapter: Expert | undefined,
  layer?: number,
): Promise<number> {
  const losses: number[] = []
  for (const turn of turns)
    losses.push(mean((await student.read(await lessonOf(model, turn, adapter, layer))).losses))
  return mean(losses)
}
