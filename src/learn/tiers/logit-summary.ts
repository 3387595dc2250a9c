// Summarises a row of logits in one pass: log-sum-exp and top-k. Independent of targets and
// gradients.

import { type Arena, createArena } from '../kernels/arena.ts'

/**
 * Summary of a row of logits: enough for the loss, the mix with the memory and the gradient, in a
 * few tokens instead of the vocabulary.
 */
export interface LogitSummary {
  /** log Σ exp(logits) */
  readonly total: number
  /** The largest probability. */
  readonly largest: number
  /** The top-k tokens in rising order, and their logits. */
  readonly ids: Int32Array
  readonly logits: Float32Array
  /** Probabilities of the vocabulary's sample. */
  readonly sample: Float32Array
}

const block = 64
// Nats: a block further below the top adds less than 64·e⁻²⁴ = 2·10⁻⁹ of the top's share.
const reach = 24

export type LogitSummarizer = (
  logits: Float32Array,
  count: number,
  sample: Int32Array,
) => LogitSummary

/**
 * Summaries with the top `count` tokens and the probabilities of a sample, over the fastest kernels
 * available, or over the arena that is given.
 */
export function createLogitSummarizer(given?: Arena): LogitSummarizer {
  let arena = given
  let room: ArenaLayout | undefined
  return (logits, count, sample) => {
    arena ??= createArena()
    room = reserveLayout(
      arena,
      Math.ceil(logits.length / block),
      Math.ceil(sample.length / block),
      room,
    )
    const { kernels } = arena
    const { row, maxima, blocks, maximaAt } = room
    row.fill(-Infinity, logits.length)
    row.set(logits)
    const top = kernels.maxima(0, blocks, maximaAt)
    const sum = kernels.sumOfExponentials(0, blocks, maximaAt, top, reach)
    const total = top + Math.log(sum)
    const wanted = Math.min(count, logits.length)
    const bar = blocks > wanted && wanted > 0 ? selectNthLargest(maxima.slice(), wanted) : -Infinity
    const ids = wanted > 0 ? selectTopK(row, maxima, bar, wanted, logits.length) : new Int32Array(0)
    return {
      total,
      largest: 1 / sum,
      ids,
      logits: Float32Array.from(ids, (id) => row[id]!),
      sample: computeSampleShares(sample, arena, room, total),
    }
  }
}

/** Offsets in the arena: the row, its blocks' maxima, the sample. */
interface ArenaLayout {
  readonly buffer: ArrayBuffer
  readonly blocks: number
  readonly sampleBlocks: number
  readonly row: Float32Array
  readonly maxima: Float32Array
  readonly maximaAt: number
  readonly sample: Float32Array
  readonly sampleAt: number
}

function reserveLayout(
  arena: Arena,
  blocks: number,
  sampleBlocks: number,
  last: ArenaLayout | undefined,
): ArenaLayout {
  if (
    last?.blocks === blocks &&
    last.sampleBlocks === sampleBlocks &&
    last.buffer === arena.memory.buffer
  )
    return last
  const maximaAt = 4 * blocks * block
  const sampleAt = Math.ceil((maximaAt + 4 * blocks) / 16) * 16
  arena.memory.reserve(sampleAt + 4 * sampleBlocks * block)
  const { buffer } = arena.memory
  return {
    buffer,
    blocks,
    sampleBlocks,
    maximaAt,
    sampleAt,
    row: new Float32Array(buffer, 0, blocks * block),
    maxima: new Float32Array(buffer, maximaAt, blocks),
    sample: new Float32Array(buffer, sampleAt, sampleBlocks * block),
  }
}

function computeSampleShares(
  ids: Int32Array,
  { kernels }: Arena,
  { row, sample, sampleAt, sampleBlocks }: ArenaLayout,
  total: number,
): Float32Array {
  for (let i = 0; i < ids.length; i++) sample[i] = row[ids[i]!]!
  kernels.exponentials(sampleAt, sampleBlocks, total)
  return sample.slice(0, ids.length)
}

/** The `count` largest of a row, of whose blocks at least as many reach the bar. */
function selectTopK(
  row: Float32Array,
  maxima: Float32Array,
  bar: number,
  count: number,
  size: number,
): Int32Array {
  const found: number[] = []
  for (let b = 0; b < maxima.length; b++) {
    if (maxima[b]! < bar) continue
    for (let i = b * block, end = Math.min(size, i + block); i < end; i++)
      if (row[i]! >= bar) found.push(i)
  }
  if (found.length <= count) return Int32Array.from(found)
  const least = selectNthLargest(
    Float32Array.from(found, (i) => row[i]!),
    count,
  )
  let ties = count - found.filter((i) => row[i]! > least).length
  return Int32Array.from(found.filter((i) => row[i]! > least || (row[i] === least && ties-- > 0)))
}

/** The n-th largest value, n from 1; reorders the values. Hoare's selection. */
function selectNthLargest(values: Float32Array, n: number): number {
  let low = 0
  let high = values.length - 1
  const place = n - 1
  while (low < high) {
    const pivot = values[(low + high) >> 1]!
    let i = low
    let j = high
    while (i <= j) {
      while (values[i]! > pivot) i++
      while (values[j]! < pivot) j--
      if (i > j) break
      const held = values[i]!
      values[i++] = values[j]!
      values[j--] = held
    }
    if (place <= j) high = j
    else if (place >= i) low = i
    else break
  }
  return values[place]!
}
