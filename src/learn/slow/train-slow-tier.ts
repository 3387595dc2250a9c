// Trains a new version of the slow tier, a LoRA through the whole model, on rows. Independent of
// users.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import {
  either,
  flag,
  type GivenOptions,
  integer,
  joinProblems,
  listOf,
  number,
  readOptions,
  string,
} from '../../base/schema.ts'
import type { EncodedSequence } from '../../train/data/encode.ts'
import type { EwcState } from '../../train/ewc/state.ts'
import type { TrainableModel } from '../../train/programs/trainable-model.ts'
import { layersField } from '../tiers/tier-options.ts'
import { resolveLayers } from '../tiers/tier-targets.ts'
import type { HeadChange } from './slow-head.ts'

export const slowTierFields = {
  /** 4 to 16. Default 8. */
  rank: integer({ from: 4, to: 16, default: 8 }),
  /** Target modules, as `targets` of an adapter. Default: all linear layers. */
  targets: either(string(), listOf(string()), { default: 'all-linear' }),
  /** Numbers of layers, or the last ones. Default: all. */
  layers: layersField,
  /** Passes over the rows. Default 2. */
  epochs: integer({ from: 1, default: 2 }),
  /** Default 1e-3. */
  learningRate: number({ above: 0, default: 1e-3 }),
  /** Elastic weight consolidation of what earlier consolidations learned. Default true. */
  ewc: flag({ default: true }),
  /** Default 0. */
  seed: number({ default: 0 }),
}
export type SlowTierOptions = GivenOptions<typeof slowTierFields>

/** A state of the slow tier that can be restored. */
export interface SlowVersion {
  readonly adapter: Adapter | undefined
  readonly ewc: EwcState | undefined
  /** The sum of fast tiers at the head. */
  readonly head?: HeadChange | undefined
}

/**
 * Trains a new version of the slow tier on rows, starting from `before`, which is not changed. Its
 * change at the head is dropped, because the turns that it came from are among the rows. Throws
 * OptionError for invalid options or no rows.
 */
export async function trainSlowTier(
  model: TrainableModel,
  rows: readonly EncodedSequence[],
  before: SlowVersion,
  options: SlowTierOptions = {},
): Promise<SlowVersion> {
  const values = readOptions('Slow tier', options, slowTierFields)
  const { rank, targets, epochs, learningRate, ewc, seed } = values
  const layers = resolveSlowLayers(model, values.layers)
  if (rows.length === 0)
    throw new OptionError(
      'Slow tier: there is nothing to consolidate, because no turn has been learned.',
    )
  const { train } = await import('../../train/run/train.ts') // loaded at the first consolidation
  const longest = Math.max(...rows.map(({ ids }) => ids.length))
  const data = { name: 'turns', format: 'turns', rows, examples: rows.length, cut: 0, dropped: 0 }
  const events = train({
    model,
    data,
    epochs,
    learningRate,
    seed,
    weightDecay: 0,
    clip: 1,
    batch: { rows: 1, tokens: Math.max(256, longest) },
    maxTokens: longest,
    adapter: before.adapter ?? {
      kind: 'lora',
      config: { rank, alpha: 2 * rank, targets, ...layers },
    },
    ...(ewc && { ewc: before.ewc ? { state: before.ewc } : {} }),
  })
  for await (const event of events)
    if (event.type === 'train-end') return { adapter: event.adapter, ewc: event.ewc }
  throw new OptionError('Slow tier: training ended without an adapter.')
}

/** Throws OptionError for layers that the model does not have. */
function resolveSlowLayers(
  model: TrainableModel,
  wanted: SlowTierOptions['layers'],
): { readonly layers?: readonly number[] } {
  if (wanted === undefined) return {}
  const { layers, problems } = resolveLayers(wanted, model.base.graph.config.layers.length)
  if (problems.length > 0) throw new OptionError(`Slow tier: ${joinProblems(problems)}`)
  return { layers }
}
