// Unlearns one turn of a user: the state becomes that of a user who never learned it. Independent
// of stores.

import { createUser, type LearnerUser, switchVersion, type UserParts } from '../users/user.ts'
import {
  type CleanStart,
  countWithout,
  type DecodeIds,
  planUnlearning,
  removeEntries,
  type UnlearningPlan,
} from '../users/history.ts'
import type { TurnUpdate } from '../turns/turn.ts'

export interface UnlearningResult {
  /** Turns that are gone: the one asked for, and later ones whose prompts contain it. */
  readonly turns: readonly number[]
  /** Turns that were learned again without them. */
  readonly relearned: number
  /** Versions of the slow tier that had learned from them and are gone. */
  readonly droppedVersions: readonly number[]
}

export interface UnlearningParts extends UserParts {
  readonly decode: DecodeIds
  readonly replay: (user: LearnerUser, update: TurnUpdate) => Promise<unknown>
}

/** The user without a turn; the same object if no other turn has to be learned again. */
export interface UnlearnedUser {
  readonly user: LearnerUser
  readonly result: UnlearningResult
  /** Restores what happened to the user meanwhile; to be called when it takes the other's place. */
  finish(): void
}

/**
 * Works on a copy, so that an error leaves the user as it is. Throws NotFoundError for a turn that
 * is not kept or can no longer be separated.
 */
export async function unlearnTurn(
  user: LearnerUser,
  turn: number,
  parts: UnlearningParts,
): Promise<UnlearnedUser> {
  const plan = planUnlearning(user, turn, parts.decode)
  const turns = [...plan.numbers].sort((a, b) => a - b)
  const first = plan.places[0] ?? Infinity
  const isDropped = ({ learned = 0 }: LearnerUser['versions'][number]): boolean => learned > first
  const droppedVersions = user.versions.filter(isDropped).map((version) => version.number)
  const versions = user.versions.filter((version) => !isDropped(version))
  if (!plan.start) {
    const finish = (): void => dropFromUser(user, versions, plan)
    return { user, result: { turns, relearned: 0, droppedVersions }, finish }
  }
  const fresh = createFresh({ ...user, versions }, plan.start, plan.numbers, parts)
  const again = user.history.entries
    .slice(plan.start.learned - user.history.dropped)
    .filter((entry) => !plan.numbers.has(entry.number))
  for (const { number, signal, ids, promptTokens, replaced } of again)
    await parts.replay(fresh, {
      number,
      signal,
      replaced,
      turn: { ids, promptTokens, hidden: undefined, adapter: undefined },
    })
  const finish = (): void => {
    fresh.count = user.count
    fresh.turns.clear()
    for (const [key, open] of user.turns) if (!plan.numbers.has(key)) fresh.turns.set(key, open)
    fresh.unsaved = []
    fresh.needsRewrite = true
  }
  return { user: fresh, result: { turns, relearned: again.length, droppedVersions }, finish }
}

function dropFromUser(
  user: LearnerUser,
  versions: LearnerUser['versions'],
  plan: UnlearningPlan,
): void {
  for (const number of plan.numbers) user.turns.delete(number)
  user.rows = user.rows.filter((row) => !plan.numbers.has(row.number))
  removeEntries(user.history, plan)
  user.versions = versions.map((version) =>
    version.learned === undefined
      ? version
      : { ...version, learned: countWithout(version.learned, plan) },
  )
  user.learned = countWithout(user.learned, plan)
  user.unsaved = user.unsaved.filter(({ update }) => !plan.numbers.has(update.number))
  user.needsRewrite = true
}

/** A user as it was at the start. */
function createFresh(
  user: LearnerUser,
  start: CleanStart,
  numbers: UnlearningPlan['numbers'],
  parts: UserParts,
): LearnerUser {
  const { name, versions, history, rows, consolidated, taught, count } = user
  const { dropped, entries, starts } = history
  const { learned, record, guard } = start
  const keptRows = new Map(rows.map((row) => [row.number, row]))
  for (const { number, ids, promptTokens, loss } of entries)
    if (loss !== undefined) keptRows.set(number, { number, ids, promptTokens, loss })
  const held = start.held.filter((number) => !numbers.has(number))
  const fresh = createUser(name, parts)
  Object.assign(fresh, {
    versions,
    count,
    taught,
    learned,
    consolidated: { time: consolidated.time, learned: Math.min(consolidated.learned, learned) },
    record: structuredClone(record),
    guard: structuredClone(guard),
    rows: held.flatMap((number) => keptRows.get(number) ?? []),
    history: {
      dropped,
      entries: entries.slice(0, learned - dropped),
      starts: starts.slice(0, starts.indexOf(start) + 1),
    },
  })
  switchVersion(
    fresh,
    versions.find(({ number }) => number === start.version)!,
  )
  return fresh
}
