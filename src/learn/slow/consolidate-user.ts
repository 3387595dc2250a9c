// A user's slow tier takes over what the user's other tiers learned, by training or by an exact
// sum, where the gate lets it. Knows neither when that is due nor where it is saved.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { Head, Model } from '../../runtime/index.ts'
import type { TrainableModel } from '../../train/programs/trainable-model.ts'
import {
  trainSlowTier,
  type GateResult,
  evaluateGate,
  resolveSlowRank,
  type SlowTierOptions,
  type SlowVersion,
} from './train-slow-tier.ts'
import { foldAdapters } from './fold-adapters.ts'
import type { HeadLoss } from '../tiers/head-gradient.ts'
import type { ConsolidationMethod } from '../learner-options.ts'
import {
  addVersion,
  clearTiers,
  type LearnerUser,
  getServingExpert,
  getCurrentVersion,
} from '../user.ts'
import { foldHead, createSlowHead } from './slow-head.ts'
import { createTierStack, type TierStack, type TierStackOptions } from '../tiers/tier-stack.ts'
import {
  type EncodedTurn,
  type TurnExample,
  computeTurnStates,
  measureLosses,
  measureLoss,
  computeMean,
  toEncodedExample,
  type TurnStates,
} from '../turns/turns.ts'

export interface ConsolidateUserOptions {
  /**
   * 'training' (unless given): kept turns through the whole model, fast tier and memory are
   * emptied. 'sum': the fast tier alone, exactly.
   */
  readonly by?: ConsolidationMethod
  /** Must not get worse; the learner's canaries unless given. */
  readonly canaries?: readonly TurnExample[]
  /** By how large a share canaries may get worse; 0.01 unless given. */
  readonly bound?: number
  /** How much of what was learned must be left, on held-out turns; 0.5 unless given. */
  readonly least?: number
}

export interface ConsolidationResult extends GateResult {
  readonly by: ConsolidationMethod
  /**
   * Of a sum: ‖ΔW − ΔW_r‖/‖ΔW‖ at the head's input, or over the layers where that is more: what
   * cutting to the slow tier's rank lost.
   */
  readonly residual?: number
}

export interface ConsolidationParts {
  readonly model: Model & TrainableModel
  readonly head: Head
  readonly headLoss: HeadLoss
  readonly tierOptions: TierStackOptions
  readonly layer: number | undefined
  readonly slow: SlowTierOptions | undefined
  readonly keptVersions: number
  readonly now: () => number
}

export type GateBounds = Pick<ConsolidateUserOptions, 'bound' | 'least'>

// of the kept rows, chosen at random, is held out of a training, for its gate
const heldOutShare = 1 / 8
// kept turns that a sum is judged by: each takes a pass of the model, and the sum itself takes next
// to nothing
const maxHeldOut = 4

/** A student that knows nothing but a slow version. */
export function createBaselineTiers(
  { head, headLoss }: Pick<ConsolidationParts, 'head' | 'headLoss'>,
  version: SlowVersion,
): TierStack {
  const slow = createSlowHead(head, headLoss, version.head)
  return createTierStack(slow.head, slow.headLoss, { fast: false, memory: false })
}

/**
 * The slow tier takes over. Where the gate says no, nothing has changed. Throws OptionError where
 * there is nothing to take over.
 */
export async function consolidateUser(
  user: LearnerUser,
  by: ConsolidationMethod,
  canaries: readonly EncodedTurn[],
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  checkBounds(by, bounds)
  return by === 'training'
    ? consolidateByTraining(user, canaries, bounds, parts)
    : consolidateBySum(user, canaries, bounds, parts)
}

function checkBounds(by: unknown, { bound = 0, least = 0 }: GateBounds): void {
  const rules: readonly (readonly [boolean, string])[] = [
    [
      by === 'training' || by === 'sum',
      `by is ${JSON.stringify(by)}, expected "training" or "sum"`,
    ],
    [bound >= 0, `bound is ${bound}, expected a number ≥ 0`],
    [!Number.isNaN(least), `least is ${least}, expected a number`],
  ]
  const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
  if (broken.length > 0)
    throw new OptionError(`Slow tier: cannot consolidate: ${broken.join('; ')}.`)
}

async function consolidateByTraining(
  user: LearnerUser,
  canaries: readonly EncodedTurn[],
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  const { model, slow, keptVersions, now } = parts
  const before = getCurrentVersion(user)
  const order = random(user.learned).shuffle(user.rows) // a stream may have a period of its own
  const held = order.slice(0, Math.floor(heldOutShare * order.length))
  const after = await trainSlowTier(
    model,
    user.rows.filter((row) => !held.includes(row)).map(toEncodedExample),
    before,
    slow,
  )
  const loss = (version: SlowVersion) =>
    measureLoss(model, held, createBaselineTiers(parts, version), version.adapter)
  const heldLosses =
    held.length === 0
      ? undefined
      : {
          untaught: await loss(before),
          // the tiers have learned these turns by now, and the memory knows them by heart
          before: computeMean(held.map((row) => row.loss)),
          after: await loss(after),
        }
  const verdict = evaluateGate(
    await measureCanaryLosses(canaries, user, after, parts),
    heldLosses,
    bounds,
  )
  if (verdict.kept) {
    addVersion(user, after, 'training', now(), keptVersions)
    user.rows = []
    clearTiers(user)
  }
  return { by: 'training', ...verdict }
}

async function consolidateBySum(
  user: LearnerUser,
  canaries: readonly EncodedTurn[],
  bounds: GateBounds,
  parts: ConsolidationParts,
): Promise<ConsolidationResult> {
  const { layerTier, tiers } = user
  const { fast } = tiers
  if ((fast?.steps ?? 0) + (layerTier?.steps ?? 0) === 0)
    throw new OptionError('Slow tier: there is nothing to sum; the fast tier has learned nothing.')
  const { after, residual } = await sumTiers(user, resolveSlowRank(parts.slow))
  const verdict = evaluateGate(
    await measureCanaryLosses(canaries, user, after, parts),
    await measureHeldOutLosses(user, after, parts),
    bounds,
  )
  if (verdict.kept) {
    addVersion(user, after, 'sum', parts.now(), parts.keptVersions)
    fast?.clear()
    layerTier?.clear() // the memory stays: neither changes the states it is looked up by
  }
  return { by: 'sum', residual, ...verdict }
}

/**
 * The slow tier with what the fast ones learned. An adapter that layers were added to has other
 * matrices than those whose importance EWC knew.
 */
async function sumTiers(
  user: LearnerUser,
  rank: number,
): Promise<{ after: SlowVersion; residual: number }> {
  const { adapter, ewc, head } = getCurrentVersion(user)
  const { fast } = user.tiers
  const atHead = fast && fast.steps > 0 ? foldHead(head, fast, rank) : undefined
  const below =
    user.layerTier?.adapter && (await foldAdapters(adapter, user.layerTier.adapter, rank))
  const change = atHead?.change ?? head
  return {
    after: {
      adapter: below?.adapter ?? adapter,
      ewc: below ? undefined : ewc,
      ...(change && { head: change }),
    },
    residual: Math.max(atHead?.residual ?? 0, below?.residual ?? 0),
  }
}

/**
 * Losses of kept turns without fast tier and memory, with both, and with what was summed and the
 * memory as it is.
 */
async function measureHeldOutLosses(
  user: LearnerUser,
  after: SlowVersion,
  parts: ConsolidationParts,
): Promise<GateResult['held']> {
  const step = Math.max(1, user.rows.length / maxHeldOut)
  const held = user.rows
    .filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step))
    .slice(-maxHeldOut)
  if (held.length === 0) return undefined
  const { model, head, headLoss, tierOptions, layer } = parts
  const before = getCurrentVersion(user)
  const slow = createSlowHead(head, headLoss, after.head)
  const taken = createTierStack(slow.head, slow.headLoss, { ...tierOptions, fast: false })
  const { memory, gate } = user.tiers
  if (memory) taken.memory!.restore(memory.state())
  Object.assign(taken.gate, {
    weights: gate.weights.slice(),
    squares: gate.squares.slice(),
    updates: gate.updates,
  })
  const lessons = async (expert: Expert | undefined) => {
    const all: TurnStates[] = []
    for (const turn of held) all.push(await computeTurnStates(model, turn, expert, layer))
    return all
  }
  const own = await lessons(before.adapter)
  const under = async (expert: Expert | undefined) =>
    expert === before.adapter ? own : lessons(expert)
  const loss = async (student: TierStack, expert: Expert | undefined) =>
    (await measureLosses(await under(expert), student)).blend
  return {
    untaught: await loss(createBaselineTiers(parts, before), before.adapter),
    before: await loss(user.tiers, getServingExpert(user)),
    after: await loss(taken, after.adapter),
  }
}

async function measureCanaryLosses(
  turns: readonly EncodedTurn[],
  user: LearnerUser,
  after: SlowVersion,
  parts: ConsolidationParts,
) {
  if (turns.length === 0) return undefined
  const loss = (version: SlowVersion) =>
    measureLoss(parts.model, turns, createBaselineTiers(parts, version), version.adapter)
  return {
    start: await loss(user.versions[0]!),
    before: await loss(getCurrentVersion(user)),
    after: await loss(after),
  }
}
