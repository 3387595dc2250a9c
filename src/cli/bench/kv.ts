// Times what the engine's memory of keys and values does between two calls of a model, in the shape
// of SmolLM2-135M: 30 layers, 3 key-value heads of width 64, 16 rows. Runs no model.

import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import { computeBlockKeys } from '../../runtime/engine/kv/block-keys.ts'
import type { KvElement } from '../../runtime/engine/kv/kv-types.ts'
import { computeKvWidth } from '../../runtime/programs/cached-graph.ts'
import { createKvMemory, type KvMemory, type KvRow } from '../../runtime/engine/kv/kv-memory.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from './benchmark.ts'

const shape = { layers: 30, kvHeads: 3, headWidth: 64 }
const ROWS = 16
const identity = { base: 'base', expert: '', accuracy: 'fast', pieceSize: 256 }

const createTokens = (count: number): number[] => Array.from({ length: count }, (_, i) => i % 4999)

/** cache.<layer>.k and .v [N, K, T, d]. */
function createEntries(
  rows: number,
  tokens: number,
  element: KvElement,
): ReadonlyMap<string, Tensor> {
  const dims = [rows, shape.kvHeads, tokens, computeKvWidth(element, shape.headWidth)]
  const entries = new Map<string, Tensor>()
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of ['k', 'v']) {
      const entry: Tensor =
        element === 'int8'
          ? { dtype: 'i8', shape: dims, data: new Int8Array(sizeOf(dims)).fill(layer) }
          : f32(dims, new Float32Array(sizeOf(dims)).fill(layer + 0.5))
      entries.set(`cache.${layer}.${part}`, entry)
    }
  }
  return entries
}

function measureMilliseconds(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** Rows that decode, filled: an array that was never written to reads faster than real ones. */
function openRows(
  memory: KvMemory,
  rows: number,
  tokens: number,
  element: KvElement = 'f32',
): KvRow[] {
  const entries = createEntries(1, tokens, element)
  return Array.from({ length: rows }, () => {
    const row = memory.open('shared', { keys: [], cached: 0, tokens })!
    memory.append([row], entries, [tokens])
    memory.markReady(row)
    return row
  })
}

const createMemory = (element: KvElement, blocks = 4096): KvMemory =>
  createKvMemory({ shape, blocks, maxRows: ROWS, element })

/** One token for each row: room and copies. */
function measureAppends(element: KvElement): number[] {
  const memory = createMemory(element)
  const rows = openRows(memory, ROWS, 200, element)
  const entries = createEntries(ROWS, 1, element)
  const counts = rows.map(() => 1)
  const times = Array.from({ length: 200 }, () =>
    measureMilliseconds(() => {
      for (const row of rows) memory.reserve(row, 1)
      memory.append(rows, entries, counts)
    }),
  )
  return times.slice(20)
}

/** What copying one row's bytes takes on this machine. */
function measureCopies(tokens: number): number[] {
  const length = 2 * shape.layers * shape.kvHeads * shape.headWidth * tokens
  const values = new Float32Array(4 * length).fill(1)
  return Array.from({ length: 12 }, (_, i) =>
    measureMilliseconds(() => values.copyWithin((i % 3) * length, 3 * length)),
  )
}

/** A row in the middle leaves; another takes its place before the next measurement. */
function measureLeaving(tokens: number, element: KvElement = 'f32'): number[] {
  const memory = createMemory(element)
  const rows = openRows(memory, ROWS, tokens, element)
  return Array.from({ length: 12 }, (_, i) => {
    const at = i % (ROWS - 1)
    const time = measureMilliseconds(() => memory.close(rows[at]!))
    rows[at] = openRows(memory, 1, tokens, element)[0]!
    return time
  })
}

interface PrefixTimes {
  readonly publishing: number[]
  readonly joining: number[]
  readonly keys: number[]
}

/**
 * A prompt of 256 tokens: its keys, its blocks kept, and a row that begins with them. The first
 * ones write to fresh memory, which costs 0.4 ms a megabyte.
 */
function measurePrefixes(element: KvElement): PrefixTimes {
  const memory = createMemory(element, 160) // full after a few prompts, as in a server that runs
  const entries = createEntries(1, 256, element)
  const times: PrefixTimes = { publishing: [], joining: [], keys: [] }
  openRows(memory, 4, 200, element)
  for (let i = 0; i < 40; i++) {
    const tokens = createTokens(256)
    tokens[0] = i
    let keys: readonly string[] = []
    times.keys.push(measureMilliseconds(() => (keys = computeBlockKeys(identity, tokens))))
    const row = memory.open('shared', { keys, cached: 0, tokens: 256 })!
    memory.append([row], entries, [256])
    times.publishing.push(measureMilliseconds(() => memory.publish(row, keys)))
    memory.close(row)
    let joined = row
    times.joining.push(
      measureMilliseconds(() => {
        joined = memory.open('shared', { keys, cached: 16, tokens: 256 })!
        memory.markReady(joined)
      }),
    )
    memory.close(joined)
  }
  return times
}

/** All 16 rows outgrow 192 slots and move to a larger bank; time by token and row. */
function measureGrowth(): number[] {
  const tokens = 192
  return Array.from({ length: 5 }, () => {
    const memory = createMemory('f32')
    const rows = openRows(memory, ROWS, tokens)
    const time = measureMilliseconds(() => {
      for (const row of rows) memory.reserve(row, 1)
    })
    return time / 64 // until the next move
  })
}

async function* measureKv({ progress }: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const toRow = (name: string, ours: readonly number[], goalMs?: number): BenchmarkRow =>
    toBenchmarkRow({
      name: `kv: ${name}`,
      unit: 'milliseconds',
      higherIsBetter: false,
      ours,
      ...(goalMs !== undefined && { note: `aimed at: at most ${goalMs}` }),
    })
  progress('kv: appending')
  yield toRow('one token of 16 rows', measureAppends('f32'), 0.7)
  for (const element of ['f16', 'int8'] as const)
    yield toRow(`one token of 16 rows, ${element}`, measureAppends(element))
  progress('kv: prefixes')
  for (const element of ['f32', 'f16', 'int8'] as const) {
    const { publishing, joining, keys } = measurePrefixes(element)
    const suffix = element === 'f32' ? '' : `, ${element}`
    yield toRow(`16 blocks kept${suffix}`, publishing, 6)
    yield toRow(`a row joins with 256 cached tokens${suffix}`, joining, 5)
    if (element === 'f32') yield toRow('keys of 256 tokens', keys)
  }
  progress('kv: growing and leaving')
  yield toRow('16 rows of 192 tokens outgrow their bank, by token', measureGrowth())
  yield toRow('a row leaves, 16 × 256', measureLeaving(256), 5)
  yield toRow('a row leaves, 16 × 2,048', measureLeaving(2048), 5)
  for (const element of ['f16', 'int8'] as const)
    yield toRow(`a row leaves, 16 × 2,048, ${element}`, measureLeaving(2048, element), 5)
  yield toRow('a bare copy of 2,048 tokens', measureCopies(2048))
}

export const kvBenchmark: Benchmark = {
  name: 'kv',
  summary: 'keys and values between two calls: append, join, publish, grow, leave; no model runs',
  needs: 'nothing',
  run: measureKv,
}
