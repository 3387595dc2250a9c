// Keys and values of the tokens so far, for a batch of sequences of different lengths. Slot s of a
// row holds its token at position s. Knows no graph: what to keep arrives by layer, masks say which
// slots count.

import { OptionError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toEntryName, toPastName } from './cached-graph.ts'

export interface CacheShape {
  readonly layers: number
  readonly kvHeads: number // K
  readonly headWidth: number // d
}

export interface KvCache {
  /** Tokens held, by row. */
  readonly lengths: readonly number[]
  /** Slots by row, filled or not: a multiple of 64, or 0 at the beginning. */
  readonly capacity: number
  readonly sizeBytes: number
  /** past.<layer>.k and .v [N, K, C, d]; the arrays are written to by `append`. */
  feeds(): ReadonlyMap<string, Tensor>
  /** Takes cache.<layer>.k and .v [N, K, T, d]: of row n only the first counts[n] tokens. */
  append(entries: ReadonlyMap<string, Tensor>, counts: readonly number[]): void
  /** Forgets what a row holds beyond `length` tokens. */
  truncate(row: number, length: number): void
  /** A copy with the given rows, in that order; rows may come more than once. */
  fork(rows?: readonly number[]): KvCache
}

// slots are added in steps, so that shapes change rarely; growing a long cache adds a sixteenth
const STEP = 64

const computeCapacity = (tokens: number): number =>
  Math.ceil((tokens + Math.max(STEP / 2, tokens / 16)) / STEP) * STEP

/** An empty cache for `batch` rows. */
export function createKvCache(shape: CacheShape, batch: number): KvCache {
  return createCacheFrom(shape, new Array<number>(batch).fill(0), 0, allocateSlots(shape, batch, 0))
}

function allocateSlots(
  { layers, kvHeads, headWidth }: CacheShape,
  batch: number,
  capacity: number,
): Map<string, Tensor<Float32Array>> {
  const slots = new Map<string, Tensor<Float32Array>>()
  for (let layer = 0; layer < layers; layer++) {
    for (const part of ['k', 'v'] as const)
      slots.set(toPastName(layer, part), f32([batch, kvHeads, capacity, headWidth]))
  }
  return slots
}

function createCacheFrom(
  shape: CacheShape,
  lengths: number[],
  capacity: number,
  slots: Map<string, Tensor<Float32Array>>,
): KvCache {
  const { layers, kvHeads, headWidth } = shape
  const names = Array.from({ length: layers }, (_, layer) =>
    (['k', 'v'] as const).map(
      (part) => [toPastName(layer, part), toEntryName(layer, part)] as const,
    ),
  ).flat()

  /** Slots of another capacity (or other rows) with the same contents. */
  const moved = (rows: readonly number[], wider: number): Map<string, Tensor<Float32Array>> => {
    const target = allocateSlots(shape, rows.length, wider)
    for (const [name, { data }] of slots) {
      const out = target.get(name)!.data
      rows.forEach((row, to) => {
        for (let head = 0; head < kvHeads; head++) {
          const from = (row * kvHeads + head) * capacity * headWidth
          out.set(
            data.subarray(from, from + lengths[row]! * headWidth),
            (to * kvHeads + head) * wider * headWidth,
          )
        }
      })
    }
    return target
  }

  return {
    get lengths() {
      return lengths
    },
    get capacity() {
      return capacity
    },
    get sizeBytes() {
      return 8 * layers * lengths.length * kvHeads * capacity * headWidth
    },
    feeds: () => slots,
    append(entries, counts) {
      const needed = Math.max(...lengths.map((length, row) => length + counts[row]!))
      if (needed > capacity) {
        const wider = computeCapacity(needed)
        slots = moved([...lengths.keys()], wider)
        capacity = wider
      }
      for (const [past, entry] of names) {
        const { data: fresh, shape: given } = entries.get(entry)! as Tensor<Float32Array>
        const stride = given[2]! * headWidth
        const out = slots.get(past)!.data
        lengths.forEach((length, row) => {
          for (let head = 0; head < kvHeads; head++) {
            const index = row * kvHeads + head
            out.set(
              fresh.subarray(index * stride, index * stride + counts[row]! * headWidth),
              (index * capacity + length) * headWidth,
            )
          }
        })
      }
      lengths = lengths.map((length, row) => length + counts[row]!)
    },
    truncate(row, length) {
      const held = lengths[row]
      if (held === undefined || length < 0 || length > held) {
        throw new OptionError(
          `KV cache: row ${row} holds ${held ?? 'no'} tokens; it cannot be cut to ${length}.`,
        )
      }
      lengths = lengths.with(row, length)
    },
    fork: (rows = [...lengths.keys()]) =>
      createCacheFrom(
        shape,
        rows.map((row) => lengths[row]!),
        capacity,
        moved(rows, capacity),
      ),
  }
}
