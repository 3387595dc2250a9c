// Losses that the validation gate compares when a slow tier is about to change: on canaries, and on
// kept turns.

import type { Expert } from '../../adapters/serving/mixture.ts'
import type { Head, Model } from '../../runtime/index.ts'
import { createSlowHead } from '../slow/slow-head.ts'
import type { SlowVersion } from '../slow/train-slow-tier.ts'
import type { GateResult } from '../slow/validation-gate.ts'
import type { HeadLoss } from '../tiers/head-gradient.ts'
import type { TierStackOptions } from '../tiers/tier-options.ts'
import { createTierStack, type TierStack } from '../tiers/tier-stack.ts'
import type { EncodedTurn } from '../turns/encode-turn.ts'
import { computeMean, measureLoss, measureLosses } from '../turns/measure-loss.ts'
import type { KeptTurn } from '../turns/turn.ts'
import { computeTurnStates, type TurnStates } from '../turns/turn-states.ts'
import { getCurrentVersion, getServingExpert, type LearnerUser } from '../users/user.ts'
import { copyGate } from '../users/user-snapshot.ts'

export interface GateLossParts {
  readonly model: Model
  readonly head: Head
  readonly headLoss: HeadLoss
  readonly tierOptions: TierStackOptions
  readonly layer: number | undefined
}

// Kept turns on which what was learned is measured: each takes two or three passes of the model.
const maxMeasured = 4

/** Tiers that consist of a slow version alone. */
export function createBaselineTiers(
  { head, headLoss }: Pick<GateLossParts, 'head' | 'headLoss'>,
  version: SlowVersion,
): TierStack {
  const slow = createSlowHead(head, headLoss, version.head)
  return createTierStack(slow.head, slow.headLoss, { fast: false, memory: false })
}

export async function measureCanaryLosses(
  turns: readonly EncodedTurn[],
  user: LearnerUser,
  after: SlowVersion,
  parts: GateLossParts,
): Promise<GateResult['canaries']> {
  if (turns.length === 0) return undefined
  const measure = (version: SlowVersion): Promise<number> =>
    measureLoss(parts.model, turns, createBaselineTiers(parts, version), version.adapter)
  return {
    start: await measure(user.versions[0]!),
    before: await measure(getCurrentVersion(user)),
    after: await measure(after),
  }
}

/** For a training: losses on turns that it did not see. */
export async function measureHeldOutLosses(
  held: readonly KeptTurn[],
  before: SlowVersion,
  after: SlowVersion,
  parts: GateLossParts,
): Promise<GateResult['held']> {
  if (held.length === 0) return undefined
  const measure = (version: SlowVersion): Promise<number> =>
    measureLoss(parts.model, held, createBaselineTiers(parts, version), version.adapter)
  return {
    untaught: await measure(before),
    // from when the turns were new, because the tiers have learned them since
    before: computeMean(held.map(({ loss }) => loss)),
    after: await measure(after),
  }
}

/** About `maxMeasured` turns, evenly spaced and with the newest one. */
function selectMeasured(rows: readonly KeptTurn[]): readonly KeptTurn[] {
  const step = Math.max(1, rows.length / maxMeasured)
  return rows
    .filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step))
    .slice(-maxMeasured)
}

/** The user's tiers after a sum: a new slow tier, no fast tier, the memory as it is. */
function createSummedTiers(user: LearnerUser, after: SlowVersion, parts: GateLossParts): TierStack {
  const { memory, gate } = user.tiers
  const slow = createSlowHead(parts.head, parts.headLoss, after.head)
  const tiers = createTierStack(slow.head, slow.headLoss, { ...parts.tierOptions, fast: false })
  if (memory) tiers.memory!.restore(memory.state())
  Object.assign(tiers.gate, copyGate(gate))
  return tiers
}

/**
 * Losses on some of the learned turns: without fast tier and memory, with both, and after an exact
 * sum (the sum and the memory).
 */
export const measureSummedLosses = (
  user: LearnerUser,
  after: SlowVersion,
  parts: GateLossParts,
): Promise<GateResult['learned']> =>
  measureLearnedLosses(
    user,
    user.rows,
    { after, tiers: createSummedTiers(user, after, parts) },
    parts,
  )

/** The same for a training, which leaves the slow tier alone; `rows`: what it trained on. */
export const measureTrainedLosses = (
  user: LearnerUser,
  rows: readonly KeptTurn[],
  after: SlowVersion,
  parts: GateLossParts,
): Promise<GateResult['learned']> =>
  measureLearnedLosses(user, rows, { after, tiers: createBaselineTiers(parts, after) }, parts)

async function measureLearnedLosses(
  user: LearnerUser,
  rows: readonly KeptTurn[],
  { after, tiers }: { readonly after: SlowVersion; readonly tiers: TierStack },
  parts: GateLossParts,
): Promise<GateResult['learned']> {
  const turns = selectMeasured(rows)
  if (turns.length === 0) return undefined
  const before = getCurrentVersion(user)
  const computeStates = async (expert: Expert | undefined): Promise<readonly TurnStates[]> => {
    const states: TurnStates[] = []
    for (const turn of turns)
      states.push(await computeTurnStates(parts.model, turn, expert, parts.layer))
    return states
  }
  const statesBefore = await computeStates(before.adapter)
  const measure = async (stack: TierStack, expert: Expert | undefined): Promise<number> => {
    const states = expert === before.adapter ? statesBefore : await computeStates(expert)
    return (await measureLosses(states, stack)).mixed
  }
  return {
    untaught: await measure(createBaselineTiers(parts, before), before.adapter),
    before: await measure(user.tiers, getServingExpert(user)),
    after: await measure(tiers, after.adapter),
  }
}
