// What all users of a learner share: the model's head, its loss, the program of fast tiers on
// layers, and the options of the tiers.

import type { Adapter } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import type { Head, LogitsStage } from '../runtime/index.ts'
import { checkLearnerOptions, type LearnerOptions, readKeptCounts } from './learner-options.ts'
import type { SlowTierOptions } from './slow/train-slow-tier.ts'
import { createHeadLoss, type HeadLoss } from './tiers/head-gradient.ts'
import { createLayerTiers, type LayerTiers } from './tiers/layer-tier-program.ts'
import type { TierStackOptions } from './tiers/tier-options.ts'
import { isAtHead } from './tiers/tier-targets.ts'
import { createTierStage, type ServedAnswer } from './turns/tier-stage.ts'
import { selectKeyLayer } from './turns/turn-states.ts'
import { type ResolvedTrigger, resolveSchedule } from './updates/consolidation-schedule.ts'

export interface LearnerContext extends ReturnType<typeof readKeptCounts> {
  readonly model: LearnerOptions['model']
  /** The expert that users start from. */
  readonly expert: Adapter | undefined
  readonly head: Head
  readonly headLoss: HeadLoss
  /** The program of fast tiers on layers; undefined if there is none. */
  readonly layerTiers: LayerTiers | undefined
  /** The layer whose input states tiers on layers and the memory use. */
  readonly layer: number | undefined
  /** Answers of all users in one batch. */
  readonly stage: LogitsStage<ServedAnswer>
  /** Of each user's tiers over the head. */
  readonly tierOptions: TierStackOptions
  readonly slow: SlowTierOptions
  readonly trigger: ResolvedTrigger | undefined
  readonly now: () => number
}

/** The fast tiers' options at the head and on layers; false: no such tier. */
function splitFastOptions(fast: LearnerOptions['fast']): {
  atHead: TierStackOptions['fast']
  onLayers: Parameters<typeof createLayerTiers>[1] | false
} {
  if (fast === undefined || fast === false) return { atHead: fast, onLayers: false }
  const { where, head, layers, ...options } = fast
  if (head || layers) return { atHead: head ?? false, onLayers: layers ?? false }
  if (!where || isAtHead(where)) return { atHead: options, onLayers: false }
  return { atHead: false, onLayers: { ...options, where } }
}

/** The input of layer 0 is the embedding of one token, which cannot be a memory's key. */
function checkKeyLayer({ layer }: LayerTiers): void {
  if (layer === 0)
    throw new OptionError(
      'Learner options: a fast tier that reaches layer 0 leaves the memory only token embeddings as keys, which identify only the last token. Choose layers from 1 on (where.layers), or memory: false.',
    )
}

/** Throws OptionError with everything that is wrong with the options. */
export function createLearnerContext(options: LearnerOptions): LearnerContext {
  checkLearnerOptions(options)
  const { model, expert, fast, memory, now } = options
  const { schedule, ...slow } = options.slow ?? {}
  const hasFastTier = fast !== false
  const trigger = resolveSchedule(schedule, { hasClock: now !== undefined, hasFastTier })
  const { atHead, onLayers } = splitFastOptions(fast)
  const layerTiers = onLayers ? createLayerTiers(model, onLayers) : undefined
  if (layerTiers && memory !== false) checkKeyLayer(layerTiers)
  const keyLayer = memory === false ? undefined : selectKeyLayer(model.config)
  const head = model.head()
  const layer = layerTiers?.layer ?? keyLayer
  return {
    ...readKeptCounts(options),
    model,
    expert,
    head,
    headLoss: createHeadLoss(head, options.breadth),
    layerTiers,
    layer,
    stage: createTierStage(head, layer),
    tierOptions: {
      ...(atHead !== undefined && { fast: atHead }),
      ...(memory !== undefined && { memory }),
    },
    slow,
    trigger,
    now: now ?? (() => 0),
  }
}
