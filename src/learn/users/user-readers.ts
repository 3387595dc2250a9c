// What callers may know of a user. Reads only.

import { NotFoundError } from '../../base/errors.ts'
import type { Turn } from '../turns/turn.ts'
import { computeStatistics, listWarnings } from './statistics.ts'
import type { LearnerUser } from './user.ts'

/** The readers of a learner, by how it finds a user. */
export const createUserReaders = (read: (name: string) => Promise<LearnerUser>) => ({
  versions: async (name: string) => (await read(name)).versions,
  statistics: async (name: string) => computeStatistics(await read(name)),
  warnings: async (name: string) => listWarnings(await read(name)),
  tiers: async (name: string) => (await read(name)).tiers,
  turns: async (name: string) => listTurns(await read(name)),
})

/** Throws NotFoundError for a turn that can no longer be rated. */
export function getOpenTurn({ name, turns }: LearnerUser, number: number): Turn {
  const turn = turns.get(number)
  if (turn) return turn
  throw new NotFoundError(
    `Turn ${number} of user ${JSON.stringify(name)} is not kept (any more); ${turns.size} are.`,
  )
}

function listTurns({ turns, history }: LearnerUser) {
  const open = [...turns].map(([turn, { ids, promptTokens }]) => ({
    turn,
    state: 'open' as const,
    promptIds: ids.slice(0, promptTokens),
    answerIds: ids.slice(promptTokens),
    signal: undefined,
    replacedIds: undefined,
  }))
  const learned = history.entries.map(({ number, ids, promptTokens, signal, replaced }) => ({
    turn: number,
    state: 'learned' as const,
    promptIds: ids.slice(0, promptTokens),
    answerIds: ids.slice(promptTokens),
    signal,
    replacedIds: replaced,
  }))
  return [...learned, ...open].toSorted((a, b) => a.turn - b.turn)
}
