// Shared by tests and measurements of step programs: rows of a cache, filled with the programs'
// outputs.

import { f32, type Tensor } from '../../../base/tensor.ts'
import { type CacheShape, computeCacheShape } from '../../../graph/cache-shape.ts'
import { toEntryName, toPastName } from '../cached-graph.ts'
import {
  collectDecodeFeeds,
  collectPrefillFeeds,
  type StepFeedParts,
  type StepSpan,
} from './step-feeds.ts'
import type { CompiledStep } from './step-programs.ts'

export const toCacheShape = computeCacheShape

/** Rows of one capacity, all in use. */
export class TestRows {
  readonly capacity: number
  readonly lengths: number[]
  readonly past: ReadonlyMap<string, Tensor<Float32Array>>
  readonly #shape: CacheShape

  constructor(shape: CacheShape, count: number, capacity: number) {
    this.capacity = capacity
    this.lengths = new Array<number>(count).fill(0)
    this.#shape = shape
    const { layers, kvHeads, headWidth } = shape
    this.past = new Map(
      Array.from({ length: layers }, (_, layer) =>
        (['k', 'v'] as const).map(
          (part) => [toPastName(layer, part), f32([count, kvHeads, capacity, headWidth])] as const,
        ),
      ).flat(),
    )
  }

  /** The feeds of one row, for a piece of its prompt. */
  feedsOf(row: number): Map<string, Tensor> {
    return new Map(
      [...this.past].map(([name, { shape, data }]) => {
        const size = data.length / shape[0]!
        const own = data.subarray(row * size, (row + 1) * size)
        return [name, f32([1, ...shape.slice(1)], own)]
      }),
    )
  }

  /** The keys and values of a row, layer by layer and head by head. */
  listEntries(row: number): Float32Array[] {
    const { kvHeads, headWidth: d } = this.#shape
    return [...this.past.values()].flatMap(({ data }) =>
      Array.from({ length: kvHeads }, (_, head) => {
        const start = (row * kvHeads + head) * this.capacity * d
        return data.slice(start, start + this.lengths[row]! * d)
      }),
    )
  }

  /** Row rows[i] takes entry i of the outputs, `tokens` of each. */
  append(rows: readonly number[], outputs: ReadonlyMap<string, Tensor>, tokens: number): void {
    const { layers, kvHeads, headWidth: d } = this.#shape
    for (let layer = 0; layer < layers; layer++)
      for (const part of ['k', 'v'] as const) {
        const fresh = outputs.get(toEntryName(layer, part))!.data as Float32Array
        const { data } = this.past.get(toPastName(layer, part))!
        rows.forEach((row, i) => {
          for (let head = 0; head < kvHeads; head++) {
            const from = (i * kvHeads + head) * tokens * d
            const to = ((row * kvHeads + head) * this.capacity + this.lengths[row]!) * d
            data.set(fresh.subarray(from, from + tokens * d), to)
          }
        })
      }
    for (const row of rows) this.lengths[row]! += tokens
  }
}

const readLogits = (outputs: ReadonlyMap<string, Tensor>): Float32Array[] => {
  const { data, shape } = outputs.get('logits') as Tensor<Float32Array>
  return Array.from({ length: shape[0]! }, (_, i) =>
    data.subarray(i * shape[1]!, (i + 1) * shape[1]!),
  )
}

/**
 * Computes a prompt into a row in pieces of these lengths; returns the logits of its last token.
 */
export async function prefillRow(
  parts: StepFeedParts,
  program: CompiledStep,
  rows: TestRows,
  row: number,
  ids: readonly number[],
  { pieces = [ids.length], feeds = [] }: PrefillChoice = {},
): Promise<Float32Array> {
  let last: Float32Array | undefined
  let start = 0
  for (const length of pieces) {
    const piece = ids.slice(start, start + length)
    const span = { ids: [piece], lengths: [rows.lengths[row]!], capacity: rows.capacity }
    const own = await collectPrefillFeeds(parts, span)
    const outputs = await program.run(new Map([...own, ...rows.feedsOf(row), ...feeds]))
    rows.append([row], outputs, length)
    last = readLogits(outputs)[0]
    start += length
  }
  return last!
}

interface PrefillChoice {
  readonly pieces?: readonly number[]
  readonly feeds?: Iterable<readonly [string, Tensor]>
}

/** Decodes one new token in every row; returns the logits of each. */
export async function decodeRows(
  parts: StepFeedParts,
  program: CompiledStep,
  rows: TestRows,
  ids: readonly number[],
  feeds: Iterable<readonly [string, Tensor]> = [],
): Promise<Float32Array[]> {
  const span: StepSpan = {
    ids: ids.map((id) => [id]),
    lengths: rows.lengths,
    capacity: rows.capacity,
  }
  const own = await collectDecodeFeeds(parts, span)
  const outputs = await program.run(new Map([...own, ...rows.past, ...feeds]))
  rows.append([...ids.keys()], outputs, 1)
  return readLogits(outputs)
}
