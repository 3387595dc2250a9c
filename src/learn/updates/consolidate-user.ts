// Moves what a user's tiers learned into the slow tier, by training or by an exact sum, if the
// validation gate passes. Independent of schedules and stores.

import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { type GivenOptions, number, oneOf } from '../../base/schema.ts'
import type { Model } from '../../runtime/index.ts'
import type { TrainableModel } from '../../train/programs/trainable-model.ts'
import { foldAdapters } from '../slow/fold-adapters.ts'
import { foldHead } from '../slow/slow-head.ts'
import {
  slowTierFields,
  type SlowTierOptions,
  type SlowVersion,
  trainSlowTier,
} from '../slow/train-slow-tier.ts'
import { evaluateGate, type GateResult } from '../slow/validation-gate.ts'
import { type EncodedTurn, toEncodedExample, turnExamplesField } from '../turns/encode-turn.ts'
import type { KeptTurn } from '../turns/turn.ts'
import { addVersion, getCurrentVersion, type LearnerUser } from '../users/user.ts'
import { addCleanStart } from '../users/history.ts'
import { clearTiers } from '../users/user-snapshot.ts'
import { type ConsolidationMethod, consolidationMethods } from './consolidation-schedule.ts'
import {
  type GateLossParts,
  measureCanaryLosses,
  measureHeldOutLosses,
  measureSummedLosses,
  measureTrainedLosses,
} from './gate-losses.ts'

export const consolidateFields = {
  /**
   * 'training' (default): kept turns through the whole model; fast tier and memory are emptied.
   * 'sum': the fast tier alone, exactly.
   */
  by: oneOf(consolidationMethods, { default: 'training' }),
  /** Must not get worse. Default: the learner's canaries. */
  canaries: turnExamplesField,
  /** Share by which the canaries' loss may rise. Default 0.01. */
  bound: number({ from: 0, to: Infinity, default: 0.01 }),
  /** Share of the gain that must be left, on held-out turns and on learned ones. Default 0.5. */
  least: number({ default: 0.5 }),
}
export type ConsolidateUserOptions = GivenOptions<typeof consolidateFields>

export interface ConsolidationResult extends GateResult {
  readonly by: ConsolidationMethod
  /**
   * Of a sum: the relative error ‖ΔW − ΔW_r‖/‖ΔW‖ of truncation to the slow tier's rank, at the head's
   * input or over the layers, whichever is larger.
   */
  readonly residual?: number
}

export interface ConsolidationParts extends GateLossParts {
  readonly model: Model & TrainableModel
  readonly slow: SlowTierOptions
  readonly keptVersions: number
  readonly now: () => number
}

export interface GateBounds {
  readonly canaries: readonly EncodedTurn[]
  readonly bound: number
  readonly least: number
}

const heldOutShare = 1 / 8 // of the kept turns, chosen at random

/**
 * Consolidates, or changes nothing where the gate fails. Throws OptionError if there is nothing to
 * consolidate.
 */
export function consolidateUser(
  user: LearnerUser,
  by: ConsolidationMethod,
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  return (by === 'training' ? consolidateByTraining : consolidateBySum)(user, bounds, parts)
}

async function consolidateByTraining(
  user: LearnerUser,
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  const before = getCurrentVersion(user)
  const { held, taught } = splitRows(user)
  const after = await trainSlowTier(parts.model, taught.map(toEncodedExample), before, parts.slow)
  const result = evaluateGate(
    {
      canaries: await measureCanaryLosses(bounds.canaries, user, after, parts),
      held: await measureHeldOutLosses(held, before, after, parts),
      learned: await measureTrainedLosses(user, taught, after, parts),
    },
    bounds,
  )
  if (result.kept) {
    addVersion(user, after, 'training', parts.now(), parts.keptVersions)
    user.rows = [...held] // not learned by this version, so that the next one learns them
    clearTiers(user)
    addCleanStart(user)
  }
  return { by: 'training', ...result }
}

/**
 * An eighth of the kept turns, at least one, for the gate, and the others for training. Throws
 * OptionError for fewer than two turns.
 */
function splitRows({ rows, learned }: LearnerUser): {
  readonly held: readonly KeptTurn[]
  readonly taught: readonly KeptTurn[]
} {
  if (rows.length < 2)
    throw new OptionError(
      rows.length === 0
        ? 'Slow tier: there is nothing to consolidate, because no turn has been learned.'
        : 'Slow tier: got one kept turn, expected at least two, because one is held out to judge the training. Learn another one, or consolidate by sum.',
    )
  const order = random(learned).shuffle(rows) // shuffled, because a stream may be periodic
  const held = new Set(order.slice(0, Math.max(1, Math.floor(heldOutShare * rows.length))))
  return {
    held: rows.filter((row) => held.has(row)),
    taught: rows.filter((row) => !held.has(row)),
  }
}

async function consolidateBySum(
  user: LearnerUser,
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  const { layerTier, tiers } = user
  const { fast } = tiers
  if ((fast?.steps ?? 0) + (layerTier?.steps ?? 0) === 0)
    throw new OptionError(
      'Slow tier: there is nothing to sum, because the fast tier has learned nothing.',
    )
  const { rank = slowTierFields.rank.default } = parts.slow
  const { after, residual } = await sumTiers(user, rank)
  const canaries = await measureCanaryLosses(bounds.canaries, user, after, parts)
  const learned = await measureSummedLosses(user, after, parts)
  const result = evaluateGate({ canaries, learned }, bounds)
  if (result.kept) {
    addVersion(user, after, 'sum', parts.now(), parts.keptVersions)
    fast?.clear()
    layerTier?.clear() // the memory stays, because neither tier changes its keys
  }
  return { by: 'sum', residual, ...result }
}

/**
 * The slow tier plus the fast ones. EWC's state is dropped where layers change, because its
 * importances belong to the matrices before.
 */
async function sumTiers(
  user: LearnerUser,
  rank: number,
): Promise<{ after: SlowVersion; residual: number }> {
  const { adapter, ewc, head } = getCurrentVersion(user)
  const { fast } = user.tiers
  const atHead = fast && fast.steps > 0 ? foldHead(head, fast, rank) : undefined
  const onLayers =
    user.layerTier?.adapter && (await foldAdapters(adapter, user.layerTier.adapter, rank))
  const change = atHead?.change ?? head
  return {
    after: {
      adapter: onLayers?.adapter ?? adapter,
      ewc: onLayers ? undefined : ewc,
      ...(change && { head: change }),
    },
    residual: Math.max(atHead?.residual ?? 0, onLayers?.residual ?? 0),
  }
}
