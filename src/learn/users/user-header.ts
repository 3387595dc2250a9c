// The JSON header of a saved user: counts, settings and statistics, and the check that a saved user
// belongs to this model and these tiers. Field names are those of the file format. Independent of
// tensors and stores.

import type { Adapter } from '../../adapters/adapter.ts'
import { FormatError, type Mismatch, MismatchError } from '../../base/errors.ts'
import type { EwcState } from '../../train/ewc/state.ts'
import type { UserState } from '../store/user-state.ts'
import type { LearningSignal, RewardRecord } from '../turns/reward.ts'
import type { CleanStart, LearnedHistory } from './history.ts'
import type { GuardRecord } from './guard-record.ts'
import type { LearnerUser, NumberedVersion } from './user.ts'

/** Layout of header and tensors. */
const layoutVersion = 1

/** The base model that a state belongs to. */
export interface StateOrigin {
  /** `identity()` of the base model. */
  readonly base: string
  readonly width: number
  readonly vocabularySize: number
  /** The key of the expert that the user started from; undefined: the base. */
  readonly expert?: string
}

interface SavedTier {
  readonly rank: number
  readonly steps: number
  readonly lastMove: number
}

interface SavedGuard {
  readonly trust: number
  readonly rollbacks: number
  readonly checkedAt: number
  readonly worst: number
  readonly lookAt: number
}

type SavedAdapter = Omit<Adapter, 'tensors'>

export interface SavedVersion {
  readonly number: number
  readonly by: NumberedVersion['by']
  readonly time: number
  readonly learned?: number
  readonly adapter?: SavedAdapter
  readonly ewc?: Pick<EwcState, 'tasks' | 'weight'>
  /** Rank of the change at the head. */
  readonly head?: number
}

export interface UserHeader {
  readonly learner: number
  readonly origin: StateOrigin
  readonly fast: SavedTier | null
  readonly deep: (SavedTier & { readonly modules: readonly string[] }) | null
  readonly memory: { readonly count: number } | null
  readonly gate: {
    readonly weights: readonly number[]
    readonly squares: readonly number[]
    readonly updates: number
  }
  readonly record: RewardRecord
  readonly current: number
  readonly count: number
  readonly learned: number
  readonly consolidated: LearnerUser['consolidated']
  readonly guard: Partial<SavedGuard>
  readonly queries: number
  readonly rows: readonly (readonly [
    length: number,
    promptTokens: number,
    loss: number,
    number?: number,
  ])[]
  readonly turns: readonly (readonly [number: number, length: number, promptTokens: number])[]
  readonly versions: readonly SavedVersion[]
  /** Later fields: absent in states that were written before they came. */
  readonly taught?: number
  readonly history?: SavedHistory
}

/** The ids, and the questions' vectors of signals, are tensors. */
export interface SavedHistory {
  readonly dropped: number
  readonly starts: readonly CleanStart[]
  readonly entries: readonly (readonly [
    number: number,
    length: number,
    promptTokens: number,
    loss: number | null,
    /** Null before a correction's ids: it has no signal. */
    signal?: (Omit<LearningSignal, 'queryEmbedding'> & { readonly hasEmbedding?: true }) | null,
    replaced?: readonly number[],
  ])[]
}

const toSavedTier = (tier: {
  readonly rank: number
  readonly steps: number
  readonly lastRelativeStep: number
}): SavedTier => ({ rank: tier.rank, steps: tier.steps, lastMove: tier.lastRelativeStep })

const toSavedGuard = (guard: GuardRecord): SavedGuard => ({
  trust: guard.stepScale,
  rollbacks: guard.rollbacks,
  checkedAt: guard.checkedAt,
  lookAt: guard.nextCheckAt,
  worst: guard.worstLoss,
})

/** The guard's record; fields that an older file lacks keep those of `current`. */
export const fromSavedGuard = (saved: Partial<SavedGuard>, current: GuardRecord): GuardRecord => ({
  stepScale: saved.trust ?? current.stepScale,
  rollbacks: saved.rollbacks ?? current.rollbacks,
  checkedAt: saved.checkedAt ?? current.checkedAt,
  worstLoss: saved.worst ?? current.worstLoss,
  nextCheckAt: saved.lookAt ?? current.nextCheckAt,
})

const toSavedAdapter = ({ kind, config, baseModel, metadata }: Adapter): SavedAdapter => ({
  kind,
  config,
  ...(baseModel !== undefined && { baseModel }),
  ...(metadata !== undefined && { metadata }),
})

const toSavedVersion = (version: NumberedVersion): SavedVersion => {
  const { number, by, time, learned, adapter, ewc, head } = version
  return {
    number,
    by,
    time,
    ...(learned !== undefined && { learned }),
    // that of the start is the expert, which is not saved with each user
    ...(adapter && by !== 'start' && { adapter: toSavedAdapter(adapter) }),
    ...(ewc && { ewc: { tasks: ewc.tasks, weight: ewc.weight } }),
    ...(head && { head: head.A.shape[0]! }),
  }
}

const toSavedHistory = ({ dropped, starts, entries }: LearnedHistory): SavedHistory => ({
  dropped,
  starts,
  entries: entries.map(({ number, ids, promptTokens, loss = null, signal, replaced }) => {
    const places = [number, ids.length, promptTokens, loss] as const
    if (!signal) return replaced ? [...places, null, replaced] : places
    const { queryEmbedding, ...plain } = signal
    return [...places, { ...plain, ...(queryEmbedding && { hasEmbedding: true as const }) }]
  }),
})

export function encodeHeader(user: LearnerUser, origin: StateOrigin): UserState['header'] {
  const { tiers, layerTier, rows, turns } = user
  const { fast, memory, gate } = tiers
  const header: UserHeader = {
    learner: layoutVersion,
    origin,
    fast: fast ? toSavedTier(fast) : null,
    deep: layerTier ? { ...toSavedTier(layerTier), modules: [...layerTier.modules] } : null,
    memory: memory ? { count: memory.count } : null,
    gate: { weights: [...gate.weights], squares: [...gate.squares], updates: gate.updates },
    record: user.record,
    current: user.current,
    count: user.count,
    learned: user.learned,
    consolidated: user.consolidated,
    guard: toSavedGuard(user.guard),
    queries: user.queries.length,
    rows: rows.map(({ ids, promptTokens, loss, number }) => [
      ids.length,
      promptTokens,
      loss,
      number,
    ]),
    turns: [...turns].map(([number, { ids, promptTokens }]) => [number, ids.length, promptTokens]),
    versions: user.versions.map(toSavedVersion),
    taught: user.taught,
    history: toSavedHistory(user.history),
  }
  return JSON.parse(JSON.stringify(header)) as UserState['header']
}

const fieldTypes: Readonly<
  Record<Exclude<keyof UserHeader, 'learner' | 'taught' | 'history'>, 'object' | 'number'>
> = {
  origin: 'object',
  fast: 'object',
  deep: 'object',
  memory: 'object',
  gate: 'object',
  record: 'object',
  consolidated: 'object',
  guard: 'object',
  current: 'number',
  count: 'number',
  learned: 'number',
  queries: 'number',
  rows: 'object',
  turns: 'object',
  versions: 'object',
}

/**
 * The header, checked. Throws FormatError for one of something else or of a newer layout,
 * MismatchError for one of another model or of other tiers.
 */
export function checkHeader(
  user: LearnerUser,
  header: UserState['header'],
  origin: StateOrigin,
): UserHeader {
  const saved = header as unknown as UserHeader
  const what = `The state of user ${JSON.stringify(user.name)}`
  if (typeof saved.learner !== 'number')
    throw new FormatError(`${what} was not written by a learner.`)
  if (saved.learner !== layoutVersion)
    throw new FormatError(
      `${what} has layout ${saved.learner}, this version reads ${layoutVersion}. Update Graft to open it.`,
    )
  const wrong = Object.entries(fieldTypes)
    .filter(([key, type]) => typeof saved[key as keyof UserHeader] !== type)
    .map(([key]) => key)
  if (wrong.length > 0) throw new FormatError(`${what} has a wrong ${wrong.join(', ')}.`)
  const mismatches = listMismatches(user, saved, origin)
  if (mismatches.length > 0)
    throw new MismatchError(
      `${what} was learned by another learner`,
      mismatches,
      'Open it with the model and the tiers it was learned with, or forget the user.',
    )
  return saved
}

type ShownTier = { readonly rank: number; readonly modules?: readonly string[] } | null | undefined

function describeTier(tier: ShownTier): string {
  if (!tier) return 'none'
  return tier.modules ? `rank ${tier.rank} on ${tier.modules.join(', ')}` : `rank ${tier.rank}`
}

function listMismatches(
  { tiers, layerTier }: LearnerUser,
  saved: UserHeader,
  origin: StateOrigin,
): Mismatch[] {
  const { fast, memory } = tiers
  const fastRank = fast && { rank: fast.rank }
  const rows: (readonly [string, unknown, unknown])[] = [
    ['base model (graft_base_sha256)', saved.origin.base, origin.base],
    ['expert', saved.origin.expert ?? 'none', origin.expert ?? 'none'],
    ['width', saved.origin.width, origin.width],
    ['vocabulary', saved.origin.vocabularySize, origin.vocabularySize],
    ['fast tier', describeTier(saved.fast), describeTier(fastRank)],
    ['fast tier on layers', describeTier(saved.deep), describeTier(layerTier)],
    ['memory', saved.memory ? 'kept' : 'none', memory ? 'kept' : 'none'],
  ]
  const entries = saved.memory?.count ?? 0
  if (memory && entries > memory.capacity)
    rows.push(['pairs of the memory', entries, `at most ${memory.capacity}`])
  return rows
    .filter(([, got, expected]) => got !== expected)
    .map(([name, got, expected]) => ({ name, got: String(got), expected: String(expected) }))
}
