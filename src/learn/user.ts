// What a learner keeps of one user, live: tiers, slow versions, rewards, turns that may be judged
// and turns to consolidate. Plain values beside the student; knows neither where they are saved nor
// when they are learned.

import type { Adapter } from '../adapters/adapter.ts'
import type { Expert } from '../adapters/serving/mixture.ts'
import type { GateState } from './tiers/memory-gate.ts'
import type { SlowVersion } from './slow/train-slow-tier.ts'
import type { DeepTier } from './tiers/layer-tier.ts'
import { type DeepTiers, expertOf } from './tiers/layer-tier-program.ts'
import type { HeadErrors } from './tiers/head-gradient.ts'
import type { MemoryTier } from './tiers/memory-tier.ts'
import { type LearningSignal, newRecord, type RewardRecord } from './turns/reward.ts'
import { type SlowHead, slowHead } from './slow/slow-head.ts'
import { createStudent, type Sight, type Student, type StudentOptions } from './tiers/tier-stack.ts'
import type { Asked, TurnLesson } from './turns/turns.ts'
import type { Head } from '../runtime/index.ts'

/** An answer that may still be judged. */
export interface Turn extends Asked {
  /**
   * Final hidden states before the answer's tokens, as this expert gave them; undefined where they
   * were not kept.
   */
  readonly hidden: Float32Array | undefined
  /** Who served: the slow tier's adapter, over it what a tier on layers had learned. */
  readonly adapter: Expert | undefined
  /** For a tier on layers; only the newest turn keeps them. */
  readonly states?: Pick<TurnLesson, 'states' | 'keys'> | undefined
  /**
   * What was seen at those states while the answer was written, and by whom; only the newest turn
   * keeps it.
   */
  readonly sights?: { readonly student: Student; readonly seen: readonly Sight[] } | undefined
}

/** A turn that the next consolidation trains on. */
export interface KeptRow extends Asked {
  /** In nats a token, when the turn was new to the tiers. */
  readonly loss: number
}

/** A turn that was learned from: without a signal it was right. */
export interface Job {
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

export interface GoodTier {
  readonly tensors: ReadonlyMap<string, Float32Array>
  readonly steps: number
  readonly lastMove: number
}

/** What the canaries last found in order. */
export interface GoodState {
  readonly fast: GoodTier | undefined
  readonly deep: GoodTier | undefined
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
  readonly student: Student
  /** The fast tier on layers, where the learner has one. */
  readonly deep: DeepTier | undefined
  readonly slow: SlowHead
  record: RewardRecord
  /** The last questions' vectors, of length 1. */
  readonly queries: Float32Array[]
  /** By number. */
  readonly turns: Map<number, Turn>
  rows: KeptRow[]
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
  good: GoodState | undefined
  /** Learned since the state was last written, each with its number; for a learner with a store. */
  unsaved: { readonly number: number; readonly job: Job }[]
  /** `learned` of the state that is being written. */
  snapshot: number
}

export interface UserParts {
  readonly deep?: DeepTiers | undefined
  readonly head: Head
  readonly errors: HeadErrors
  readonly options: StudentOptions
  readonly now: () => number
}

export function newUser(
  name: string,
  { head, errors, options, deep, now }: UserParts,
): LearnerUser {
  const slow = slowHead(head, errors)
  const time = now()
  return {
    name,
    student: createStudent(slow.head, slow.errors, options),
    deep: deep?.tier(),
    slow,
    record: newRecord(),
    queries: [],
    turns: new Map(),
    rows: [],
    versions: [{ number: 0, by: 'start', time, adapter: undefined, ewc: undefined }],
    current: 0,
    count: 0,
    learned: 0,
    consolidated: { time, learned: 0 },
    guard: { trust: 1, rollbacks: 0, checkedAt: 0, lookAt: 0, worst: 0 },
    good: undefined,
    unsaved: [],
    snapshot: 0,
  }
}

export const versionOf = ({ versions, current }: LearnerUser): NumberedVersion =>
  versions.find(({ number }) => number === current)!
export const adapterOf = (user: LearnerUser): Adapter | undefined => versionOf(user).adapter

/** Who answers for a user: one object as long as nothing is learned on layers. */
export const servedBy = (user: LearnerUser): Expert | undefined =>
  user.deep ? expertOf(user.deep, adapterOf(user)) : adapterOf(user)

/** Empties what learns from turn to turn; the slow tier stays. */
export function clearTiers({ student, deep }: Pick<LearnerUser, 'student' | 'deep'>): void {
  student.clear()
  deep?.clear()
}

/**
 * Answers with a version from now on. What stands on the hidden states of another one is emptied.
 */
export function switchTo(user: LearnerUser, version: NumberedVersion): void {
  user.current = version.number
  user.slow.change = version.head
  user.good = undefined
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
  switchTo(user, added)
}

const tensorBytes = (
  tensors: Iterable<{ readonly data: { readonly byteLength: number } }>,
): number => {
  let sum = 0
  for (const { data } of tensors) sum += data.byteLength
  return sum
}

/** Bytes that a user takes in memory, nearly: without the objects around the numbers. */
export function userBytes({ student, deep, turns, rows, versions, good }: LearnerUser): number {
  const fast = tensorBytes(
    [student.fast, deep].flatMap((tier) => [...(tier?.tensors().values() ?? [])]),
  )
  const memory = student.memory?.sizeBytes ?? 0
  let sum = fast + memory + (good ? fast / 3 + memory : 0)
  for (const { ids } of rows) sum += 8 * ids.length
  for (const { ids, hidden, states } of turns.values())
    sum +=
      8 * ids.length +
      (hidden?.byteLength ?? 0) +
      (states?.keys?.byteLength ?? 0) +
      (states?.states?.states.data.byteLength ?? 0)
  for (const { adapter, ewc, head } of versions) {
    sum += tensorBytes(adapter?.tensors.values() ?? []) + tensorBytes(head ? [head.A, head.B] : [])
    for (const module of ewc?.modules.values() ?? []) sum += tensorBytes(Object.values(module))
  }
  return sum
}
