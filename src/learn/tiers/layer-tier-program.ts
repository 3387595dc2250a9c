// Fast tiers on layers for all users of a model: one program, made for the chosen places, and a
// state for each user. And a turn as a user learns it there: from the states that serving computed,
// through the student at the head, back into the layers. Knows no text and no prompts.

import {
  type Adapter,
  type Expert,
  type Mixture,
  readServingWeights,
  type ServingWeightMap,
} from '../../adapters/index.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { f32 } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { createTailProgram } from '../../train/programs/tail-program.ts'
import { type LayerTierInput, LayerTier, type LayerTierOptions } from './layer-tier.ts'
import { type ResolvedTargets, type TierTargets, resolveTargets } from './tier-targets.ts'
import type { UpdateResult, TrainingExample, TierStack } from './tier-stack.ts'

export interface LayerTiersOptions extends LayerTierOptions {
  /** All linear layers of the last two layers unless given. */
  readonly where?: TierTargets
  /** 1 to 16; 2 unless given. */
  readonly rank?: number
  readonly seed?: number
}

export interface LayerTiers {
  /** The layer whose incoming states a turn starts from. */
  readonly layer: number
  readonly resolvedTargets: ResolvedTargets
  /** A user's own, which changes nothing yet. */
  createTier(): LayerTier
  /**
   * What a lesson names as `below`: the forms of an adapter that is served along and not learned
   * here. Kept as long as the adapter is.
   */
  below(slow: Adapter | undefined): Promise<ServingWeightMap | undefined>
  dispose(): Promise<void>
}

export interface LayerTiersModel {
  readonly base: Pick<BaseModel, 'graph' | 'weights'>
  readonly backend: Backend
}

/**
 * Fast tiers in chosen modules of a model. Nothing is compiled before the first turn. Throws
 * OptionError that lists what is wrong with the places.
 */
export function createLayerTiers(
  model: LayerTiersModel,
  options: LayerTiersOptions = {},
): LayerTiers {
  const {
    where = { modules: 'all-linear', layers: { last: 2 } },
    rank = 2,
    seed = 0,
    ...each
  } = options
  if (!(Number.isInteger(rank) && rank >= 1 && rank <= 16))
    throw new OptionError(
      `Fast tier on layers: rank is ${rank}, expected a whole number from 1 to 16.`,
    )
  const { graph } = model.base
  const resolvedTargets = resolveTargets(graph, where)
  const scale = 2 // alpha is twice the rank, as LoRA's default
  const { targets, layers, top, modules } = resolvedTargets
  const start = initializeAdapter('lora', { rank, alpha: scale * rank, targets, layers }, graph, {
    seed,
  })
  const program = createTailProgram({
    model: graph,
    layer: resolvedTargets.lowest,
    backend: model.backend,
    adapter: start,
    weights: (names) => readWeights(model.base, names),
  })
  return {
    layer: resolvedTargets.lowest,
    resolvedTargets,
    createTier: () => new LayerTier({ program, start, modules, top, scale, rank }, each),
    below: createFormsReader(model),
    dispose: () => program.dispose(),
  }
}

function createFormsReader({ base }: LayerTiersModel): LayerTiers['below'] {
  const known = new WeakMap<Adapter, Promise<ServingWeightMap>>()
  return async (slow) => {
    if (!slow) return undefined
    const forms =
      known.get(slow) ?? readServingWeights(slow, base.graph, (name) => base.weights.read(name))
    known.set(slow, forms)
    return forms
  }
}

const mixtures = new WeakMap<Adapter, Mixture>()

/**
 * Who serves a tier over a slow adapter: the exact sum of both, one object for each step, so that
 * what is made for serving is made once.
 */
export function combineExperts(
  { adapter }: Pick<LayerTier, 'adapter'>,
  slow: Adapter | undefined,
): Expert | undefined {
  if (!adapter || !slow) return adapter ?? slow
  const known = mixtures.get(adapter)
  if (known?.mixture[1]!.adapter === slow) return known
  const made: Mixture = { mixture: [adapter, slow].map((one) => ({ adapter: one, weight: 1 })) }
  mixtures.set(adapter, made)
  return made
}

/** A sequence and what is learned of it. */
export interface LayerTrainingExample
  extends LayerTierInput, Pick<TrainingExample, 'tokens' | 'weights' | 'rate' | 'observations'> {
  /**
   * Final hidden states [M, D] of the rows with this tier as it stands, where serving gave them
   * already.
   */
  readonly hidden?: Float32Array
}

/** The states of the rows: what a memory knows them by, since no tier changes them. [M, D] */
export function gatherKeys({
  states,
  rows,
}: Pick<LayerTierInput, 'states' | 'rows'>): Float32Array {
  const [count, width] = states.shape as [number, number]
  const outside = rows.find((row) => !(Number.isInteger(row) && row >= 0 && row < count))
  if (outside !== undefined)
    throw new ShapeError(`There is no row ${outside}: a lesson has the states of ${count} tokens.`)
  const keys = new Float32Array(rows.length * width)
  rows.forEach((row, i) =>
    keys.set(states.data.subarray(row * width, (row + 1) * width), i * width),
  )
  return keys
}

/**
 * Losses before, then one step of the student's tiers and one of the tier on layers, from one error
 * at the head. Throws NumericError for states with NaN or infinity; nothing has changed then.
 */
export async function learnLayers(
  deep: LayerTier,
  student: TierStack,
  lesson: LayerTrainingExample,
): Promise<UpdateResult> {
  const { states, rows, below, tokens, weights, rate, observations } = lesson
  if (!isAllFinite(states.data))
    throw new NumericError('A lesson cannot be learned: its states hold NaN or infinity.')
  const input = { states, rows, below }
  const keys = gatherKeys(input)
  const hidden = lesson.hidden ?? (await deep.hidden(input)).data
  const learned = await student.learn({
    hidden,
    keys,
    tokens,
    weights,
    wantsGradient: true,
    ...(rate !== undefined && { rate }),
    ...(observations && { observations }),
  })
  if (weights?.every((weight) => weight === 0) !== true) {
    const error = f32([rows.length, states.shape[1]!], learned.gradient)
    await deep.step(input, error, rate)
  }
  return learned
}
