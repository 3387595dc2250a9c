// Parts of a user as named tensors, and back: ids of turns, question vectors, memory entries, slow
// versions. Independent of stores.
//
// A checkpoint writes the blocks that changed, and tensors are in the order of their names. So arrays
// that grow have spare room, and the memory's rows, most of the bytes, come last: earlier tensors
// then stay at their offsets from turn to turn.

import { FormatError } from '../../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { collectStateTensors, type ProtectedModule } from '../../train/ewc/state.ts'
import type { MemoryTier } from '../tiers/memory-tier.ts'
import type { EncodedTurn } from '../turns/encode-turn.ts'
import { keptQueries } from '../turns/novelty.ts'
import type { NumberedVersion } from './user.ts'
import type { SavedVersion } from './user-header.ts'

/** Names in the file format. */
export const tensorNames = {
  history: 'asked.history',
  keptTurns: 'asked.kept',
  openTurns: 'asked.open',
  queries: 'asked.queries',
  historyQueries: 'asked.signals',
  usefulness: 'memory.a.credits',
  tokens: 'memory.b.tokens',
  rows: 'memory.c.rows',
}

export type Tensors = ReadonlyMap<string, Tensor>
type NamedTensor = readonly [string, Tensor]

const minCapacity = 256

/** Room for a count that grows: a power of two. */
const computeCapacity = (count: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(minCapacity, count)))

function copyInto<Values extends Int32Array | Float32Array>(
  values: ArrayLike<number>,
  target: Values,
): Values {
  target.set(values)
  return target
}

const padIntegers = (values: ArrayLike<number>, size: number): Tensor => ({
  dtype: 'i32',
  shape: [size],
  data: copyInto(values, new Int32Array(size)),
})

/** Ids of turns, one after the other, with spare room. */
export function encodeIds(turns: Iterable<EncodedTurn>): Tensor {
  const ids = [...turns].flatMap((turn) => turn.ids)
  return padIntegers(ids, computeCapacity(ids.length))
}

/** Cuts ids into turns. Throws FormatError for lengths that do not fit. */
export function decodeIds(
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

export function encodeQueries(queries: readonly Float32Array[]): F32Tensor {
  const width = queries[0]!.length
  const tensor = f32([keptQueries, width])
  queries.forEach((query, i) => tensor.data.set(query, i * width))
  return tensor
}

export function decodeQueries(tensor: Tensor | undefined, count: number): Float32Array[] {
  if (!(tensor?.data instanceof Float32Array)) return []
  const { data, shape } = tensor
  const width = shape[1]!
  return Array.from({ length: Math.min(count, keptQueries) }, (_, i) =>
    data.slice(i * width, (i + 1) * width),
  )
}

export function encodeMemory(memory: MemoryTier | undefined): NamedTensor[] {
  if (!memory || memory.count === 0) return []
  const { rows, tokens, usefulness } = memory.state()
  const capacity = computeCapacity(memory.count)
  const scores = copyInto(usefulness, new Float32Array(capacity))
  return [
    [tensorNames.usefulness, f32([capacity], scores)],
    [tensorNames.tokens, padIntegers(tokens, capacity)],
    [tensorNames.rows, { dtype: 'i8', shape: [memory.count, memory.width], data: rows }],
  ]
}

export function restoreMemory(memory: MemoryTier, tensors: Tensors, count: number): void {
  if (count === 0) return
  const rows = tensors.get(tensorNames.rows)?.data
  const tokens = tensors.get(tensorNames.tokens)?.data
  const usefulness = tensors.get(tensorNames.usefulness)?.data
  if (!(
    rows instanceof Int8Array &&
    tokens instanceof Int32Array &&
    usefulness instanceof Float32Array
  ))
    throw new FormatError(
      `The state has no tensors of the memory, and its header counts ${count} entries.`,
    )
  memory.restore({ rows, tokens: tokens.slice(0, count), usefulness: usefulness.slice(0, count) })
}

const formatVersionName = (number: number): string =>
  `consolidated.${String(number).padStart(9, '0')}`

export function encodeVersion({ number, by, adapter, ewc, head }: NumberedVersion): NamedTensor[] {
  const start = formatVersionName(number)
  const parts = {
    adapter: (by === 'start' ? undefined : adapter?.tensors) ?? new Map<string, Tensor>(),
    ewc: ewc ? collectStateTensors(ewc) : new Map<string, Tensor>(),
    head: new Map<string, Tensor>(head && Object.entries(head)),
  }
  return Object.entries(parts).flatMap(([part, tensors]) =>
    [...tensors].map(([key, tensor]): NamedTensor => [`${start}.${part}.${key}`, tensor]),
  )
}

/** Tensors whose names begin with this, without it. */
const selectTensors = (tensors: Tensors, prefix: string): Map<string, Tensor> =>
  new Map(
    [...tensors].flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  )

export function decodeVersion(saved: SavedVersion, tensors: Tensors): NumberedVersion {
  const { number, by, time, learned, adapter, ewc, head } = saved
  const start = formatVersionName(number)
  const change = selectTensors(tensors, `${start}.head.`) as Map<string, F32Tensor>
  const protectedTensors = selectTensors(tensors, `${start}.ewc.`) as Map<string, F32Tensor>
  return {
    number,
    by,
    time,
    learned,
    adapter: adapter && { ...adapter, tensors: selectTensors(tensors, `${start}.adapter.`) },
    ewc: ewc && { ...ewc, modules: decodeModules(protectedTensors) },
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
