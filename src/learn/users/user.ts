// One user of a learner in memory: tiers, slow versions, rewards, turns that can be rated and turns
// to consolidate. Independent of how users are saved and when they learn.

import type { Adapter } from '../../adapters/adapter.ts'
import { countAdapterBytes } from '../../adapters/packed/pack-adapter.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import type { Head } from '../../runtime/index.ts'
import { createSlowHead, type SlowHead } from '../slow/slow-head.ts'
import type { SlowVersion } from '../slow/train-slow-tier.ts'
import type { HeadLoss } from '../tiers/head-gradient.ts'
import { combineExperts, type LayerTiers } from '../tiers/layer-tier-program.ts'
import type { TierStackOptions } from '../tiers/tier-options.ts'
import { createTierStack } from '../tiers/tier-stack.ts'
import { createRewardRecord, type RewardRecord } from '../turns/reward.ts'
import type { KeptTurn, Turn, TurnUpdate } from '../turns/turn.ts'
import { createGuardRecord, type GuardRecord } from './guard-record.ts'
import { addCleanStart, type LearnedHistory } from './history.ts'
import type { UserSnapshot, UserTiers } from './user-snapshot.ts'

/** A state of the slow tier, by the number that `restore` takes. */
export interface NumberedVersion extends SlowVersion {
  readonly number: number
  /** Origin of this version; that of the first is 'start'. */
  readonly by: 'start' | 'training' | 'sum'
  /** Milliseconds since 1970, by the learner's clock. */
  readonly time: number
  /** Turns learned before it was made; undefined in states of older layouts. */
  readonly learned?: number | undefined
}

export interface LearnerUser extends UserTiers {
  readonly name: string
  readonly slow: SlowHead
  record: RewardRecord
  /** Vectors of the last questions, of length 1. */
  readonly queries: Float32Array[]
  /** Turns that can still be rated, by number. */
  readonly turns: Map<number, Turn>
  /** Turns that the next consolidation trains on. */
  rows: KeptTurn[]
  versions: NumberedVersion[]
  /** The number of the version that answers. */
  current: number
  /** Answers given and completions taught; the next one's number. */
  count: number
  /** Completions taught. */
  taught: number
  /** Turns learned from. */
  learned: number
  /** The last consolidation, kept or not: the clock, and `learned` then. */
  consolidated: { time: number; learned: number }
  guard: GuardRecord
  /** The tiers at the last check that found the canaries within bounds. */
  lastGood: UserSnapshot | undefined
  /** What was learned, so that a turn can be unlearned. */
  readonly history: LearnedHistory
  /** The store's earlier checkpoints hold what was unlearned: the next write replaces them all. */
  needsRewrite: boolean
  /** Learned since the state was last written, each with its number; for a learner with a store. */
  unsaved: { readonly number: number; readonly update: TurnUpdate }[]
  /** `learned` of the state that is being written. */
  savingLearned: number
}

export interface UserParts {
  readonly layerTiers?: LayerTiers | undefined
  readonly head: Head
  readonly headLoss: HeadLoss
  readonly tierOptions: TierStackOptions
  /** The adapter of the first version. */
  readonly expert?: Adapter | undefined
  readonly now: () => number
}

export function createUser(
  name: string,
  { head, headLoss, tierOptions, layerTiers, expert, now }: UserParts,
): LearnerUser {
  const slow = createSlowHead(head, headLoss)
  const time = now()
  const user: LearnerUser = {
    name,
    tiers: createTierStack(slow.head, slow.headLoss, tierOptions),
    layerTier: layerTiers?.createTier(),
    slow,
    record: createRewardRecord(),
    queries: [],
    turns: new Map(),
    rows: [],
    versions: [{ number: 0, by: 'start', time, adapter: expert, ewc: undefined }],
    current: 0,
    count: 0,
    taught: 0,
    learned: 0,
    consolidated: { time, learned: 0 },
    guard: createGuardRecord(),
    lastGood: undefined,
    history: { starts: [], entries: [], dropped: 0 },
    needsRewrite: false,
    unsaved: [],
    savingLearned: 0,
  }
  addCleanStart(user)
  return user
}

export const getCurrentVersion = ({ versions, current }: LearnerUser): NumberedVersion =>
  versions.find(({ number }) => number === current)!
export const getSlowAdapter = (user: LearnerUser): Adapter | undefined =>
  getCurrentVersion(user).adapter

/** The expert that answers for a user: the same object until a tier on layers learns. */
export const getServingExpert = (user: LearnerUser): Expert | undefined =>
  user.layerTier ? combineExperts(user.layerTier, getSlowAdapter(user)) : getSlowAdapter(user)

/** Answers with a version from now on; the last snapshot belongs to another one and is dropped. */
export function switchVersion(user: LearnerUser, version: NumberedVersion): void {
  user.current = version.number
  user.slow.change = version.head
  user.lastGood = undefined
}

/** The version; its adapter takes tokenizer and template from `start` if it has none. */
export function keepReading<Of extends SlowVersion>(version: Of, start: SlowVersion): Of {
  const text = start.adapter?.text
  const { adapter } = version
  return text && adapter && !adapter.text ? { ...version, adapter: { ...adapter, text } } : version
}

/** Adds a version and answers with it; the first and the newest `kept` stay. */
export function addVersion(
  user: LearnerUser,
  version: SlowVersion,
  by: 'training' | 'sum',
  time: number,
  kept: number,
): void {
  const number = 1 + Math.max(...user.versions.map((known) => known.number))
  const read = keepReading(version, user.versions[0]!)
  const added = { ...read, number, by, time, learned: user.learned }
  const older = user.versions.slice(1)
  user.versions = [user.versions[0]!, ...older.slice(Math.max(0, older.length - kept + 1)), added]
  switchVersion(user, added)
}

/**
 * Adds an answer and returns its number. Only the newest answer keeps observations and layer states;
 * the oldest beyond `kept` are dropped.
 */
export function addTurn(user: LearnerUser, turn: Turn, kept: number): number {
  const number = user.count++
  const newest = [...user.turns.keys()].at(-1)
  if (newest !== undefined)
    user.turns.set(newest, {
      ...user.turns.get(newest)!,
      observed: undefined,
      ...(user.layerTier && { layerStates: undefined }),
    })
  user.turns.set(number, turn)
  while (user.turns.size > kept) user.turns.delete(user.turns.keys().next().value!)
  return number
}

const countTensorBytes = (
  tensors: Iterable<{ readonly data: { readonly byteLength: number } }>,
): number => {
  let sum = 0
  for (const { data } of tensors) sum += data.byteLength
  return sum
}

function countTurnBytes({ ids, hidden, layerStates }: Turn): number {
  const states = layerStates?.layerInput?.states.data.byteLength ?? 0
  const keys = layerStates?.keys?.byteLength ?? 0
  return 8 * ids.length + (hidden?.byteLength ?? 0) + keys + states
}

function countVersionBytes({ adapter, ewc, head }: NumberedVersion): number {
  let sum = adapter ? countAdapterBytes(adapter) : 0
  if (head) sum += countTensorBytes([head.A, head.B])
  for (const module of ewc?.modules.values() ?? []) sum += countTensorBytes(Object.values(module))
  return sum
}

function countSnapshotBytes({ fast, layerTier, memory }: UserSnapshot): number {
  let sum = 0
  for (const tier of [fast, layerTier])
    for (const { byteLength } of tier?.tensors.values() ?? []) sum += byteLength
  if (!memory) return sum
  const { tokens, usefulness, replacedRows } = memory
  for (const { byteLength } of [tokens, usefulness, ...replacedRows.values()]) sum += byteLength
  return sum
}

/** Approximate bytes of a user in memory: the numbers without the objects around them. */
export function estimateUserBytes(user: LearnerUser): number {
  const { tiers, layerTier, turns, rows, versions, lastGood, history } = user
  const fast = countTensorBytes(
    [tiers.fast, layerTier].flatMap((tier) => [...(tier?.tensors().values() ?? [])]),
  )
  const memory = tiers.memory?.sizeBytes ?? 0
  let sum = fast + memory + (lastGood ? countSnapshotBytes(lastGood) : 0)
  for (const { ids } of [...rows, ...history.entries]) sum += 8 * ids.length
  for (const turn of turns.values()) sum += countTurnBytes(turn)
  for (const version of versions) sum += countVersionBytes(version)
  return sum
}
