// What a user has learned, turn by turn, so that one turn can be unlearned: the tiers are emptied
// and the other turns are learned again. Independent of how turns are learned.

import { NotFoundError } from '../../base/errors.ts'
import type { EncodedTurn } from '../turns/encode-turn.ts'
import type { LearningSignal, RewardRecord } from '../turns/reward.ts'
import type { GuardRecord } from './guard-record.ts'

/** A turn that was learned: as a right completion, or by its signal. */
export interface LearnedEntry extends EncodedTurn {
  /** As `generate` and `learn` number the user's turns. */
  readonly number: number
  readonly signal: LearningSignal | undefined
  /**
   * In nats per token, before it was learned; undefined for a turn that is not to be consolidated.
   */
  readonly loss: number | undefined
  /** Of a correction: the ids that were answered in its place. */
  readonly replaced?: readonly number[] | undefined
}

/** A moment at which the tiers were empty, with the other state that must be restored. */
export interface CleanStart {
  /** The version of the slow tier. */
  readonly version: number
  /** Turns learned before. */
  readonly learned: number
  readonly record: RewardRecord
  readonly guard: GuardRecord
  /** Numbers of the kept turns that the version has not learned. */
  readonly held: readonly number[]
}

export interface LearnedHistory {
  /** The oldest first. */
  starts: CleanStart[]
  /** In the order of learning. */
  entries: LearnedEntry[]
  /** Turns learned before the first entry: no longer here. */
  dropped: number
}

interface HistoryOwner {
  readonly history: LearnedHistory
  readonly current: number
  readonly learned: number
  readonly record: RewardRecord
  readonly guard: GuardRecord
  readonly rows: readonly { readonly number: number }[]
}

/** Notes that the tiers are empty now. */
export function addCleanStart(user: HistoryOwner): void {
  const { history, current, learned, record, guard, rows } = user
  history.starts.push({
    version: current,
    learned,
    record: structuredClone(record),
    guard: structuredClone(guard),
    held: rows.map(({ number }) => number),
  })
}

/** Adds a learned turn; the oldest beyond `kept` are dropped, with starts that need them. */
export function addLearnedEntry(history: LearnedHistory, entry: LearnedEntry, kept: number): void {
  history.entries.push(entry)
  const excess = Math.max(0, history.entries.length - kept)
  if (excess === 0) return
  history.entries.splice(0, excess)
  history.dropped += excess
  history.starts = history.starts.filter(({ learned }) => learned >= history.dropped)
}

/** How a turn is unlearned. */
export interface UnlearningPlan {
  /** Numbers of the turns that go: the one asked for, and those whose prompts contain it. */
  readonly numbers: ReadonlySet<number>
  /** Learned turns among them, counted from the user's first, rising. */
  readonly places: readonly number[]
  /** Where to begin again; undefined: what the user has now never learned them. */
  readonly start: CleanStart | undefined
}

/** The text of ids, without special tokens. */
export type DecodeIds = (ids: readonly number[]) => string

interface UnlearningUser extends HistoryOwner {
  readonly name: string
  readonly turns: ReadonlyMap<number, EncodedTurn>
  readonly versions: readonly { readonly number: number; readonly learned?: number | undefined }[]
}

/**
 * The steps that unlearn a turn. Turns whose prompt begins with it, such as later ones of the
 * conversation, are unlearned too. Throws NotFoundError for a turn that is not kept, and for one
 * that is older than all turns that can be learned again.
 */
export function planUnlearning(
  user: UnlearningUser,
  number: number,
  decode: DecodeIds,
): UnlearningPlan {
  const { name, history, turns, versions, current } = user
  const { entries, dropped, starts } = history
  const asked = turns.get(number) ?? entries.find((entry) => entry.number === number)
  const quoted = JSON.stringify(name)
  if (!asked)
    throw new NotFoundError(
      `Turn ${number} of user ${quoted} is not kept: it was never given, or ${dropped} older turns were learned and dropped. Raise keptHistory to keep more, or forget the user.`,
    )
  const isGone = (turn: EncodedTurn): boolean =>
    turn === asked || isContinuation(turn, asked, decode)
  const numbers = new Set([number])
  for (const [key, turn] of turns) if (isGone(turn)) numbers.add(key)
  for (const entry of entries) if (isGone(entry)) numbers.add(entry.number)
  const places = entries.flatMap((entry, i) => (numbers.has(entry.number) ? [dropped + i] : []))
  const first = places[0]
  if (first === undefined) return { numbers, places, start: undefined }
  const containing = new Set(
    versions.flatMap((version) => ((version.learned ?? 0) > first ? [version.number] : [])),
  )
  const latest = starts.at(-1)
  const isUntouched =
    latest !== undefined && latest.learned > places.at(-1)! && !containing.has(current)
  if (isUntouched) return { numbers, places, start: undefined }
  const kept = new Set(versions.map((version) => version.number))
  const start = starts.findLast((found) => found.learned <= first && kept.has(found.version))
  if (!start)
    throw new NotFoundError(
      `Turn ${number} of user ${quoted} can no longer be separated from what was learned with it, because the turns around it are no longer kept. Raise keptHistory to keep more, restore an older version, or forget the user.`,
    )
  return { numbers, places, start }
}

/**
 * Whether a turn's prompt begins with another turn: as text without white space, because the same
 * text has other ids if an answer was encoded separately.
 */
function isContinuation(turn: EncodedTurn, before: EncodedTurn, decode: DecodeIds): boolean {
  const toPlain = (ids: readonly number[]): string => decode(ids).replace(/\s+/gu, '')
  const plain = toPlain(before.ids)
  return plain !== '' && toPlain(turn.ids.slice(0, turn.promptTokens)).startsWith(plain)
}

/** Takes turns out of the history, where nothing has to be learned again. */
export function removeEntries(history: LearnedHistory, plan: UnlearningPlan): void {
  history.entries = history.entries.filter(({ number }) => !plan.numbers.has(number))
  history.starts = history.starts.map((start) => ({
    ...start,
    learned: countWithout(start.learned, plan),
    held: start.held.filter((number) => !plan.numbers.has(number)),
  }))
}

/** A count of learned turns without those of the plan. */
export const countWithout = (learned: number, { places }: UnlearningPlan): number =>
  learned - places.filter((place) => place < learned).length
