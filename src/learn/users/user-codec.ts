// One user of a learner as named tensors and a header, and back without loss. A state of another
// model or of other tiers is refused with every difference. Independent of stores.

import { FormatError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { UserState } from '../store/user-state.ts'
import type { KeptTurn, Turn } from '../turns/turn.ts'
import {
  getCurrentVersion,
  keepReading,
  type LearnerUser,
  type NumberedVersion,
  switchVersion,
} from './user.ts'
import {
  checkHeader,
  encodeHeader,
  fromSavedGuard,
  type StateOrigin,
  type UserHeader,
} from './user-header.ts'
import { decodeHistory, encodeHistory } from './history-tensors.ts'
import {
  decodeIds,
  decodeQueries,
  decodeVersion,
  encodeIds,
  encodeMemory,
  encodeQueries,
  encodeVersion,
  restoreMemory,
  tensorNames,
  type Tensors,
} from './user-tensors.ts'

/** A user as it is now. The fast tier's tensors are its own, everything else is a copy. */
export function encodeUser(user: LearnerUser, origin: StateOrigin): UserState {
  const { tiers, layerTier, rows, turns, versions } = user
  const tensors = new Map<string, Tensor>([
    ...(tiers.fast?.tensors() ?? []),
    ...(layerTier?.tensors() ?? []),
  ])
  const exact = [...tensors.keys()].filter((name) => /^(fast|deep)\.squares\./.test(name))
  for (const [name, tensor] of encodeMemory(tiers.memory)) tensors.set(name, tensor)
  tensors.set(tensorNames.keptTurns, encodeIds(rows))
  tensors.set(tensorNames.openTurns, encodeIds(turns.values()))
  for (const [name, tensor] of encodeHistory(user.history)) tensors.set(name, tensor)
  if (user.queries.length > 0) tensors.set(tensorNames.queries, encodeQueries(user.queries))
  for (const version of versions)
    for (const [name, tensor] of encodeVersion(version)) tensors.set(name, tensor)
  return { tensors, header: encodeHeader(user, origin), exact }
}

/**
 * Makes a new user into the one whose state this is. Throws MismatchError for a state of another
 * model or of other tiers, FormatError for one of something else or of a newer layout.
 */
export function restoreUser(user: LearnerUser, state: UserState, origin: StateOrigin): void {
  const { tensors } = state
  const saved = checkHeader(user, state.header, origin)
  const [start] = user.versions as [NumberedVersion]
  restoreTiers(user, tensors, saved)
  Object.assign(user, {
    record: { ...user.record, ...saved.record },
    count: saved.count,
    taught: saved.taught ?? 0,
    history: decodeHistory(tensors, saved),
    learned: saved.learned,
    consolidated: saved.consolidated,
    guard: fromSavedGuard(saved.guard, user.guard),
    versions: saved.versions.map((version) =>
      version.by === 'start' ? start : keepReading(decodeVersion(version, tensors), start),
    ),
    rows: decodeKeptTurns(tensors, saved),
    current: saved.current,
  })
  for (const [number, turn] of decodeTurns(tensors, saved)) user.turns.set(number, turn)
  user.queries.push(...decodeQueries(tensors.get(tensorNames.queries), saved.queries))
  const version = getCurrentVersion(user)
  if (!version)
    throw new FormatError(
      `User ${JSON.stringify(user.name)}: version ${saved.current} of the slow tier is missing.`,
    )
  switchVersion(user, version)
}

function restoreTiers(
  { tiers, layerTier }: LearnerUser,
  tensors: Tensors,
  { fast, deep, memory, gate }: UserHeader,
): void {
  if (tiers.fast && fast) {
    tiers.fast.restore(tensors, fast.steps)
    tiers.fast.lastRelativeStep = fast.lastMove
  }
  if (layerTier && deep) {
    layerTier.restore(tensors, deep.steps)
    layerTier.lastRelativeStep = deep.lastMove
  }
  if (tiers.memory && memory) restoreMemory(tiers.memory, tensors, memory.count)
  tiers.gate.weights.set(gate.weights)
  tiers.gate.squares.set(gate.squares)
  tiers.gate.updates = gate.updates
}

function decodeKeptTurns(tensors: Tensors, { rows }: UserHeader): KeptTurn[] {
  const lengths = rows.map(([length, promptTokens]) => [length, promptTokens] as const)
  return decodeIds(tensors.get(tensorNames.keptTurns), lengths).map((turn, i) => ({
    ...turn,
    loss: rows[i]![2],
    number: rows[i]![3] ?? -1,
  }))
}

/**
 * Turns that can still be rated; their hidden states are not saved, because the ids determine them.
 */
function decodeTurns(tensors: Tensors, { turns }: UserHeader): [number, Turn][] {
  const lengths = turns.map(([, length, promptTokens]) => [length, promptTokens] as const)
  return decodeIds(tensors.get(tensorNames.openTurns), lengths).map((turn, i) => [
    turns[i]![0],
    { ...turn, hidden: undefined, adapter: undefined },
  ])
}
