// Fast tiers on layers for all users of a model: one program for the target modules, one state for
// each user. Independent of prompts and text.

import type { Adapter, Expert, Mixture } from '../../adapters/index.ts'
import {
  readServingWeights,
  type ServingWeightMap,
} from '../../adapters/serving/serving-weights.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { readOptions } from '../../base/schema.ts'
import type { Backend } from '../../compute/backend.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { readWeights } from '../../graph/read-weights.ts'
import { createTailProgram } from '../../train/programs/tail-program.ts'
import { LayerTier } from './layer-tier.ts'
import { layerTiersFields, type LayerTiersOptions, type TierTargets } from './tier-options.ts'
import { type ResolvedTargets, resolveTargets } from './tier-targets.ts'

export interface LayerTiers {
  /** The layer whose input states a turn starts from. */
  readonly layer: number
  readonly resolvedTargets: ResolvedTargets
  /** A new user's tier, which changes nothing yet. */
  createTier(): LayerTier
  /**
   * Serving weights of an adapter that is served along and not learned here, for `below` of a
   * training example. Cached as long as the adapter exists.
   */
  below(slow: Adapter | undefined): Promise<ServingWeightMap | undefined>
  dispose(): Promise<void>
}

export interface LayerTiersModel {
  readonly base: Pick<BaseModel, 'graph' | 'weights'>
  readonly backend: Backend
}

const defaultTargets: TierTargets = { modules: 'all-linear', layers: { last: 2 } }

/**
 * Fast tiers in target modules of a model. Nothing is compiled before the first turn. Throws
 * OptionError that lists what is wrong with the options.
 */
export function createLayerTiers(
  model: LayerTiersModel,
  options: LayerTiersOptions = {},
): LayerTiers {
  const values = readOptions('Fast tier on layers', options, layerTiersFields)
  const { where = defaultTargets, rank, seed, learningRate, trust, momentum, decay } = values
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
  const parts = { program, start, modules, top, scale, rank }
  return {
    layer: resolvedTargets.lowest,
    resolvedTargets,
    createTier: () => new LayerTier(parts, { learningRate, trust, momentum, decay }),
    below: createWeightReader(model),
    dispose: () => program.dispose(),
  }
}

function createWeightReader({ base }: LayerTiersModel): LayerTiers['below'] {
  const known = new WeakMap<Adapter, Promise<ServingWeightMap>>()
  return async (slow) => {
    if (!slow) return undefined
    const weights =
      known.get(slow) ?? readServingWeights(slow, base.graph, (name) => base.weights.read(name))
    known.set(slow, weights)
    return weights
  }
}

const mixtures = new WeakMap<Adapter, Mixture>()

/**
 * The expert that serves a tier over a slow adapter: the exact sum of both, one object for each
 * step, so that serving prepares it once.
 */
export function combineExperts(
  { adapter }: Pick<LayerTier, 'adapter'>,
  slow: Adapter | undefined,
): Expert | undefined {
  if (!adapter || !slow) return adapter ?? slow
  const known = mixtures.get(adapter)
  if (known?.mixture[1]!.adapter === slow) return known
  // both read text in one way
  const own = slow.text && !adapter.text ? { ...adapter, text: slow.text } : adapter
  const mixture: Mixture = { mixture: [own, slow].map((one) => ({ adapter: one, weight: 1 })) }
  mixtures.set(adapter, mixture)
  return mixture
}
