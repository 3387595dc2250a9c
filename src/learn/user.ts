// What a learner keeps of one user, live: tiers, slow versions, rewards, turns that may be judged
// and turns to consolidate. Plain values beside the student; knows neither where they are saved nor
// when they are learned.

import type { Adapter } from '../adapters/adapter.ts'
import type { Expert } from '../adapters/serving/mixture.ts'
import type { GateState } from './tiers/memory-gate.ts'
import type { SlowVersion } from './slow/train-slow-tier.ts'
import type { LayerTier } from './tiers/layer-tier.ts'
import { type LayerTiers, combineExperts } from './tiers/layer-tier-program.ts'
import type { HeadLoss } from './tiers/head-gradient.ts'
import type { MemoryTier } from './tiers/memory-tier.ts'
import { type LearningSignal, createRewardRecord, type RewardRecord } from './turns/reward.ts'
import { type SlowHead, createSlowHead } from './slow/slow-head.ts'
import {
  createTierStack,
  type Observation,
  type TierStack,
  type TierStackOptions,
} from './tiers/tier-stack.ts'
import type { EncodedTurn, TurnStates } from './turns/turns.ts'
import type { Head } from '../runtime/index.ts'

/** An answer that may still be judged. */
export interface Turn extends EncodedTurn {
  /**
   * Final hidden states before the answer's tokens, as this expert gave them; undefined where they
   * were not kept.
   */
  readonly hidden: Float32Array | undefined
  /** Who served: the slow tier's adapter, over it what a tier on layers had learned. */
  readonly adapter: Expert | undefined
  /** For a tier on layers; only the newest turn keeps them. */
  readonly layerStates?: Pick<TurnStates, 'layerInput' | 'keys'> | undefined
  /**
   * What was seen at those states while the answer was written, and by whom; only the newest turn
   * keeps it.
   */
  readonly observed?:
    { readonly tiers: TierStack; readonly observations: readonly Observation[] } | undefined
}

/** A turn that the next consolidation trains on. */
export interface KeptTurn extends EncodedTurn {
  /** In nats a token, when the turn was new to the tiers. */
  readonly loss: number
}

/** A turn that was learned from: without a signal it was right. */
export interface TurnUpdate {
  readonly turn: Turn
  readonly signal: LearningSignal | undefined
}

/** A state of the slow tier, by the number that `restore` takes. */
export interface NumberedVersion extends SlowVersion {
  readonly number: number
  /** How it came about; the first is nobody's. */
  readonly by: 'start' | 'training' | 'sum'
  /** Milliseconds since 1970, as the learner's clock gave it. */
  readonly time: number
}

export interface TierSnapshot {
  readonly tensors: ReadonlyMap<string, Float32Array>
  readonly steps: number
  readonly lastMove: number
}

/** What the canaries last found in order. */
export interface UserSnapshot {
  readonly fast: TierSnapshot | undefined
  readonly layerTier: TierSnapshot | undefined
  readonly memory: ReturnType<MemoryTier['state']> | undefined
  readonly gate: GateState
}

/** What canaries have seen of a user; `learned` counts the turns. */
export interface GuardRecord {
  /** What every step is multiplied by, up to 1. */
  trust: number
  rollbacks: number
  /**
   * `learned` at the last look, the loss that was found (0 before the first), and `learned` at
   * which to look again.
   */
  checkedAt: number
  worst: number
  lookAt: number
}

export interface LearnerUser {
  readonly name: string
  readonly tiers: TierStack
  /** The fast tier on layers, where the learner has one. */
  readonly layerTier: LayerTier | undefined
  readonly slow: SlowHead
  record: RewardRecord
  /** The last questions' vectors, of length 1. */
  readonly queries: Float32Array[]
  /** By number. */
  readonly turns: Map<number, Turn>
  rows: KeptTurn[]
  versions: NumberedVersion[]
  /** The number of the version that answers. */
  current: number
  /** Answers given; the next one's number. */
  count: number
  /** Turns learned from. */
  learned: number
  /** When the slow tier last took over, or tried to: the clock, and `learned` then. */
  consolidated: { time: number; learned: number }
  guard: GuardRecord
  lastGood: UserSnapshot | undefined
  /** Learned since the state was last written, each with its number; for a learner with a store. */
  unsaved: { readonly number: number; readonly job: TurnUpdate }[]
  /** `learned` of the state that is being written. */
  savingLearned: number
}

export interface UserParts {
  readonly layerTiers?: LayerTiers | undefined
  readonly head: Head
  readonly headLoss: HeadLoss
  readonly options: TierStackOptions
  readonly now: () => number
}

export function createUser(
  name: string,
  { head, headLoss, options, layerTiers, now }: UserParts,
): LearnerUser {
  const slow = createSlowHead(head, headLoss)
  const time = now()
  return {
    name,
    tiers: createTierStack(slow.head, slow.headLoss, options),
    layerTier: layerTiers?.createTier(),
    slow,
    record: createRewardRecord(),
    queries: [],
    turns: new Map(),
    rows: [],
    versions: [{ number: 0, by: 'start', time, adapter: undefined, ewc: undefined }],
    current: 0,
    count: 0,
    learned: 0,
    consolidated: { time, learned: 0 },
    guard: { trust: 1, rollbacks: 0, checkedAt: 0, lookAt: 0, worst: 0 },
    lastGood: undefined,
    unsaved: [],
    savingLearned: 0,
  }
}

export const getCurrentVersion = ({ versions, current }: LearnerUser): NumberedVersion =>
  versions.find(({ number }) => number === current)!
export const getSlowAdapter = (user: LearnerUser): Adapter | undefined =>
  getCurrentVersion(user).adapter

/** Who answers for a user: one object as long as nothing is learned on layers. */
export const getServingExpert = (user: LearnerUser): Expert | undefined =>
  user.layerTier ? combineExperts(user.layerTier, getSlowAdapter(user)) : getSlowAdapter(user)

/** Empties what learns from turn to turn; the slow tier stays. */
export function clearTiers({ tiers, layerTier }: Pick<LearnerUser, 'tiers' | 'layerTier'>): void {
  tiers.clear()
  layerTier?.clear()
}

/**
 * Answers with a version from now on. What stands on the hidden states of another one is emptied.
 */
export function switchVersion(user: LearnerUser, version: NumberedVersion): void {
  user.current = version.number
  user.slow.change = version.head
  user.lastGood = undefined
}

/** Adds a version and answers with it; of the older ones `kept` stay, and the first. */
export function addVersion(
  user: LearnerUser,
  version: SlowVersion,
  by: 'training' | 'sum',
  time: number,
  kept: number,
): void {
  const number = 1 + Math.max(...user.versions.map((known) => known.number))
  const added = { ...version, number, by, time }
  const older = user.versions.slice(1)
  user.versions = [user.versions[0]!, ...older.slice(Math.max(0, older.length - kept + 1)), added]
  switchVersion(user, added)
}

const countTensorBytes = (
  tensors: Iterable<{ readonly data: { readonly byteLength: number } }>,
): number => {
  let sum = 0
  for (const { data } of tensors) sum += data.byteLength
  return sum
}

/** Bytes that a user takes in memory, nearly: without the objects around the numbers. */
export function estimateUserBytes({
  tiers,
  layerTier,
  turns,
  rows,
  versions,
  lastGood,
}: LearnerUser): number {
  const fast = countTensorBytes(
    [tiers.fast, layerTier].flatMap((tier) => [...(tier?.tensors().values() ?? [])]),
  )
  const memory = tiers.memory?.sizeBytes ?? 0
  let sum = fast + memory + (lastGood ? fast / 3 + memory : 0)
  for (const { ids } of rows) sum += 8 * ids.length
  for (const { ids, hidden, layerStates } of turns.values())
    sum +=
      8 * ids.length +
      (hidden?.byteLength ?? 0) +
      (layerStates?.keys?.byteLength ?? 0) +
      (layerStates?.layerInput?.states.data.byteLength ?? 0)
  for (const { adapter, ewc, head } of versions) {
    sum +=
      countTensorBytes(adapter?.tensors.values() ?? []) +
      countTensorBytes(head ? [head.A, head.B] : [])
    for (const module of ewc?.modules.values() ?? []) sum += countTensorBytes(Object.values(module))
  }
  return sum
}
