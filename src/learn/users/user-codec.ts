// One user of a learner as named tensors and a header, and back: nothing is lost on the way. What
// does not belong to this model and these tiers is refused with everything in which it differs.
// Knows no store.
//
// A checkpoint writes the blocks that changed, and tensors lie in the order of their names: so what
// grows has room to grow, and the memory's rows, which are most of it, come last. What was
// consolidated then stays where it is from turn to turn.

import type { Adapter } from '../../adapters/adapter.ts'
import { FormatError, type Mismatch, MismatchError } from '../../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { type EwcState, type ProtectedModule, collectStateTensors } from '../../train/ewc/state.ts'
import {
  type KeptTurn,
  type LearnerUser,
  type NumberedVersion,
  switchVersion,
  type Turn,
  getCurrentVersion,
} from '../user.ts'
import type { MemoryTier } from '../tiers/memory-tier.ts'
import { keptQueries } from '../turns/novelty.ts'
import type { JsonValue, UserState } from '../store/user-state.ts'
import type { EncodedTurn } from '../turns/turns.ts'

const layout = 1
const names = {
  kept: 'asked.kept',
  judged: 'asked.open',
  queries: 'asked.queries',
  credits: 'memory.a.credits',
  tokens: 'memory.b.tokens',
  rows: 'memory.c.rows',
}

/** What a state belongs to. */
export interface StateOrigin {
  /** `identity()` of the base model. */
  readonly base: string
  readonly width: number
  readonly vocabularySize: number
}

const toPlainJson = (value: unknown): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue
const fewest = 256

/** Room for a count to grow in: a power of two. */
const computeCapacity = (count: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(fewest, count)))

function copyInto<Values extends Int32Array | Float32Array>(
  values: ArrayLike<number>,
  room: Values,
): Values {
  room.set(values)
  return room
}

function encodeIds(values: readonly number[]): Tensor {
  const room = computeCapacity(values.length)
  return { dtype: 'i32', shape: [room], data: copyInto(values, new Int32Array(room)) }
}
const formatVersionName = (number: number): string =>
  `consolidated.${String(number).padStart(9, '0')}`

/** A user as it is now. The fast tier's tensors are its own, everything else is a copy. */
export function encodeUser(user: LearnerUser, origin: StateOrigin): UserState {
  const { tiers, layerTier, rows, turns, versions } = user
  const tensors = new Map<string, Tensor>([
    ...(tiers.fast?.tensors() ?? []),
    ...(layerTier?.tensors() ?? []),
  ])
  const exact = [...tensors.keys()].filter((name) => /^(fast|deep)\.squares\./.test(name))
  for (const [name, tensor] of encodeMemory(tiers.memory)) tensors.set(name, tensor)
  tensors.set(names.kept, encodeIds(rows.flatMap(({ ids }) => ids)))
  tensors.set(names.judged, encodeIds([...turns.values()].flatMap(({ ids }) => ids)))
  if (user.queries.length > 0) tensors.set(names.queries, encodeQueries(user.queries))
  for (const version of versions)
    for (const [name, tensor] of encodeVersion(version)) tensors.set(name, tensor)
  return { tensors, header: encodeHeader(user, origin), exact }
}

function encodeQueries(queries: readonly Float32Array[]): F32Tensor {
  const width = queries[0]!.length
  const tensor = f32([keptQueries, width])
  queries.forEach((query, i) => tensor.data.set(query, i * width))
  return tensor
}

function encodeHeader(user: LearnerUser, origin: StateOrigin): UserState['header'] {
  const {
    tiers,
    layerTier,
    record,
    turns,
    rows,
    versions,
    current,
    count,
    learned,
    consolidated,
    guard,
  } = user
  const { fast, memory, gate } = tiers
  const header = {
    learner: layout,
    origin,
    fast: fast ? { rank: fast.rank, steps: fast.steps, lastMove: fast.lastRelativeStep } : null,
    deep: layerTier
      ? {
          rank: layerTier.rank,
          modules: [...layerTier.modules],
          steps: layerTier.steps,
          lastMove: layerTier.lastRelativeStep,
        }
      : null,
    memory: memory ? { count: memory.count } : null,
    gate: { weights: [...gate.weights], squares: [...gate.squares], updates: gate.updates },
    record,
    current,
    count,
    learned,
    consolidated,
    guard,
    queries: user.queries.length,
    rows: rows.map(({ ids, promptTokens, loss }) => [ids.length, promptTokens, loss]),
    turns: [...turns].map(([number, { ids, promptTokens }]) => [number, ids.length, promptTokens]),
    versions: versions.map(({ number, by, time, adapter, ewc, head }) => ({
      number,
      by,
      time,
      ...(adapter && {
        adapter: {
          kind: adapter.kind,
          config: adapter.config,
          baseModel: adapter.baseModel,
          metadata: adapter.metadata,
        },
      }),
      ...(ewc && { ewc: { tasks: ewc.tasks, weight: ewc.weight } }),
      ...(head && { head: head.A.shape[0] }),
    })),
  }
  return toPlainJson(header) as UserState['header']
}

function encodeMemory(memory: MemoryTier | undefined): [string, Tensor][] {
  if (!memory || memory.count === 0) return []
  const { rows, tokens, credits } = memory.state()
  const room = computeCapacity(memory.count)
  return [
    [names.credits, f32([room], copyInto(credits, new Float32Array(room)))],
    [names.tokens, { dtype: 'i32', shape: [room], data: copyInto(tokens, new Int32Array(room)) }],
    [names.rows, { dtype: 'i8', shape: [memory.count, memory.width], data: rows }],
  ]
}

function encodeVersion({ number, adapter, ewc, head }: NumberedVersion): [string, Tensor][] {
  const start = formatVersionName(number)
  return [
    ...[...(adapter?.tensors ?? [])].map(([key, tensor]): [string, Tensor] => [
      `${start}.adapter.${key}`,
      tensor,
    ]),
    ...[...(ewc ? collectStateTensors(ewc) : [])].map(([key, tensor]): [string, Tensor] => [
      `${start}.ewc.${key}`,
      tensor,
    ]),
    ...(head
      ? ([
          [`${start}.head.A`, head.A],
          [`${start}.head.B`, head.B],
        ] as [string, Tensor][])
      : []),
  ]
}

interface UserHeader {
  readonly learner: number
  readonly origin: StateOrigin
  readonly fast: { readonly rank: number; readonly steps: number; readonly lastMove: number } | null
  readonly deep: {
    readonly rank: number
    readonly modules: readonly string[]
    readonly steps: number
    readonly lastMove: number
  } | null
  readonly memory: { readonly count: number } | null
  readonly gate: {
    readonly weights: readonly number[]
    readonly squares: readonly number[]
    readonly updates: number
  }
  readonly record: LearnerUser['record']
  readonly current: number
  readonly count: number
  readonly learned: number
  readonly consolidated: LearnerUser['consolidated']
  readonly guard: LearnerUser['guard']
  readonly queries: number
  readonly rows: readonly (readonly [length: number, promptTokens: number, loss: number])[]
  readonly turns: readonly (readonly [number: number, length: number, promptTokens: number])[]
  readonly versions: readonly SavedVersion[]
}

interface SavedVersion {
  readonly number: number
  readonly by: NumberedVersion['by']
  readonly time: number
  readonly adapter?: Omit<Adapter, 'tensors'>
  readonly ewc?: Pick<EwcState, 'tasks' | 'weight'>
  readonly head?: number
}

/**
 * Makes a new user into the one whose state this is. Throws MismatchError for a state of another
 * model or of other tiers, FormatError for one of something else or of a newer layout.
 */
export function restoreUser(
  user: LearnerUser,
  { tensors, header }: UserState,
  origin: StateOrigin,
): void {
  const saved = checkHeader(user, header as unknown as UserHeader, origin)
  const { tiers } = user
  if (tiers.fast && saved.fast) {
    tiers.fast.restore(tensors, saved.fast.steps)
    tiers.fast.lastRelativeStep = saved.fast.lastMove
  }
  if (user.layerTier && saved.deep) {
    user.layerTier.restore(tensors, saved.deep.steps)
    user.layerTier.lastRelativeStep = saved.deep.lastMove
  }
  if (tiers.memory && saved.memory) restoreMemory(tiers.memory, tensors, saved.memory.count)
  tiers.gate.weights.set(saved.gate.weights)
  tiers.gate.squares.set(saved.gate.squares)
  tiers.gate.updates = saved.gate.updates
  const { count, learned, consolidated } = saved
  const record = { ...user.record, ...saved.record }
  const guard = { ...user.guard, ...saved.guard }
  const versions = saved.versions.map((version) => decodeVersion(version, tensors))
  Object.assign(user, {
    record,
    count,
    learned,
    consolidated,
    guard,
    versions,
    rows: decodeKeptTurns(tensors, saved),
    current: saved.current,
  })
  for (const [number, turn] of decodeTurns(tensors, saved)) user.turns.set(number, turn)
  user.queries.push(...decodeQueries(tensors.get(names.queries), saved.queries))
  if (!getCurrentVersion(user))
    throw new FormatError(
      `User ${JSON.stringify(user.name)}: version ${saved.current} of the slow tier is missing.`,
    )
  switchVersion(user, getCurrentVersion(user))
}

const kinds: Readonly<Record<Exclude<keyof UserHeader, 'learner'>, 'object' | 'number'>> = {
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

function checkHeader(
  { name, tiers, layerTier }: LearnerUser,
  saved: UserHeader,
  origin: StateOrigin,
): UserHeader {
  const who = `The state of user ${JSON.stringify(name)}`
  if (typeof saved.learner !== 'number') throw new FormatError(`${who} is no learner's.`)
  const odd = Object.entries(kinds).flatMap(([key, kind]) =>
    typeof saved[key as keyof UserHeader] === kind ? [] : [key],
  )
  if (saved.learner === layout && odd.length > 0)
    throw new FormatError(`${who} is wrong in ${odd.join(', ')}.`)
  if (saved.learner !== layout)
    throw new FormatError(
      `${who} is of layout ${saved.learner}, this version reads ${layout}. Update Graft to open it.`,
    )
  const { fast, memory } = tiers
  const fastShown = (tier: { readonly rank: number } | null | undefined): string =>
    tier ? `rank ${tier.rank}` : 'none'
  const deepShown = (
    tier: { readonly rank: number; readonly modules: readonly string[] } | null | undefined,
  ): string => (tier ? `rank ${tier.rank} on ${tier.modules.join(', ')}` : 'none')
  const pairs = (saved.memory?.count ?? 0) > (memory?.capacity ?? 0)
  const rows: readonly (readonly [string, unknown, unknown])[] = [
    ['base model (graft_base_sha256)', saved.origin.base, origin.base],
    ['width', saved.origin.width, origin.width],
    ['vocabulary', saved.origin.vocabularySize, origin.vocabularySize],
    ['fast tier', fastShown(saved.fast), fastShown(fast)],
    ['fast tier on layers', deepShown(saved.deep), deepShown(layerTier)],
    ['memory', saved.memory ? 'kept' : 'none', memory ? 'kept' : 'none'],
    ...(pairs && memory
      ? [['pairs of the memory', saved.memory!.count, `at most ${memory.capacity}`] as const]
      : []),
  ]
  const mismatches: Mismatch[] = rows.flatMap(([what, got, expected]) =>
    got === expected ? [] : [{ name: what, got: String(got), expected: String(expected) }],
  )
  if (mismatches.length > 0)
    throw new MismatchError(
      `${who} was learned by another learner`,
      mismatches,
      'Open it with the model and the tiers it was learned with, or forget the user.',
    )
  return saved
}

function restoreMemory(
  memory: MemoryTier,
  tensors: ReadonlyMap<string, Tensor>,
  count: number,
): void {
  if (count === 0) return
  const rows = tensors.get(names.rows)?.data
  const tokens = tensors.get(names.tokens)?.data
  const credits = tensors.get(names.credits)?.data
  if (!(
    rows instanceof Int8Array &&
    tokens instanceof Int32Array &&
    credits instanceof Float32Array
  ))
    throw new FormatError('The state has no pairs of the memory, and its header counts some.')
  memory.restore({ rows, tokens: tokens.slice(0, count), credits: credits.slice(0, count) })
}

/** Cuts one run of ids into turns; lengths that do not add up are refused. */
function splitIds(
  tensor: Tensor | undefined,
  parts: readonly (readonly [length: number, promptTokens: number])[],
): EncodedTurn[] {
  const ids = tensor?.data
  const total = parts.reduce((sum, [length]) => sum + length, 0)
  if (!(ids instanceof Int32Array) || ids.length < total)
    throw new FormatError(
      `The state's turns have ${ids?.length ?? 'no'} ids, and its header counts ${total}.`,
    )
  let at = 0
  return parts.map(([length, promptTokens]) => ({
    ids: [...ids.subarray(at, (at += length))],
    promptTokens,
  }))
}

function decodeKeptTurns(tensors: ReadonlyMap<string, Tensor>, { rows }: UserHeader): KeptTurn[] {
  const lengths = rows.map(([length, promptTokens]) => [length, promptTokens] as const)
  return splitIds(tensors.get(names.kept), lengths).map((asked, i) => ({
    ...asked,
    loss: rows[i]![2],
  }))
}

/** Their hidden states are not kept: they follow from the ids. */
function decodeTurns(
  tensors: ReadonlyMap<string, Tensor>,
  { turns }: UserHeader,
): [number, Turn][] {
  const lengths = turns.map(([, length, promptTokens]) => [length, promptTokens] as const)
  return splitIds(tensors.get(names.judged), lengths).map((asked, i) => [
    turns[i]![0],
    { ...asked, hidden: undefined, adapter: undefined },
  ])
}

function decodeQueries(tensor: Tensor | undefined, count: number): Float32Array[] {
  if (!(tensor?.data instanceof Float32Array)) return []
  const { data, shape } = tensor
  const width = shape[1]!
  return Array.from({ length: Math.min(count, keptQueries) }, (_, i) =>
    data.slice(i * width, (i + 1) * width),
  )
}

function decodeVersion(
  { number, by, time, adapter, ewc, head }: SavedVersion,
  tensors: ReadonlyMap<string, Tensor>,
): NumberedVersion {
  const start = formatVersionName(number)
  const under = (part: string): Map<string, Tensor> =>
    new Map(
      [...tensors].flatMap(([name, tensor]) =>
        name.startsWith(`${start}.${part}.`)
          ? [[name.slice(start.length + part.length + 2), tensor] as const]
          : [],
      ),
    )
  const change = under('head') as Map<string, F32Tensor>
  return {
    number,
    by,
    time,
    adapter: adapter && { ...adapter, tensors: under('adapter') },
    ewc: ewc && { ...ewc, modules: decodeModules(under('ewc') as Map<string, F32Tensor>) },
    ...(head !== undefined && { head: { A: change.get('A')!, B: change.get('B')! } }),
  }
}

function decodeModules(tensors: ReadonlyMap<string, F32Tensor>): Map<string, ProtectedModule> {
  const modules = new Map<string, Partial<Record<keyof ProtectedModule, F32Tensor>>>()
  for (const [key, tensor] of tensors) {
    const dot = key.lastIndexOf('.')
    const path = key.slice(0, dot)
    modules.set(path, { ...modules.get(path), [key.slice(dot + 1)]: tensor })
  }
  return modules as Map<string, ProtectedModule>
}
