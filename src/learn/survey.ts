// One pass over a row of logits: what it adds up to and which tokens are the likeliest. Knows no tokens that came and no gradients.

import { type Arena, createArena } from './kernels/arena.ts'

/** What is kept of a row of logits: enough for its loss, its blend and its gradient, in a few tokens rather than the vocabulary. */
export interface Note {
  /** log Σ exp(logits) */
  readonly total: number
  /** The largest probability. */
  readonly largest: number
  /** The likeliest tokens, in rising order, and their logits. */
  readonly ids: Int32Array
  readonly logits: Float32Array
}

const block = 64
const reach = 24 // nats: a block that lies lower adds less than 64·e⁻²⁴ = 2·10⁻⁹ of the top's share

export type Survey = (logits: Float32Array, count: number) => Note

/** Notes with the `count` likeliest tokens, over the fastest kernels there are, or over an arena of one's own. */
export function surveyor(given?: Arena): Survey {
  let arena = given
  const room = { row: new Float32Array(0), maxima: new Float32Array(0), scratch: new Float32Array(0) }
  const makeRoom = (blocks: number): Arena => {
    arena ??= createArena()
    if (room.maxima.length === blocks && room.row.buffer === arena.buffer) return arena
    arena.reserve(4 * blocks * (block + 1))
    room.row = new Float32Array(arena.buffer, 0, blocks * block)
    room.maxima = new Float32Array(arena.buffer, 4 * blocks * block, blocks)
    room.scratch = new Float32Array(Math.max(blocks, 1024))
    return arena
  }
  return (logits, count) => {
    const blocks = Math.ceil(logits.length / block)
    const { kernels } = makeRoom(blocks)
    const { row, maxima } = room
    row.fill(-Infinity, logits.length)
    row.set(logits)
    const maximaAt = 4 * blocks * block
    const top = kernels.maxima(0, blocks, maximaAt)
    const sum = kernels.sumOfExponentials(0, blocks, maximaAt, top, reach)
    const wanted = Math.min(count, logits.length)
    const bar = blocks > wanted && wanted > 0 ? nthLargest(copied(maxima, room), wanted) : -Infinity
    const ids = wanted > 0 ? likeliest(row, maxima, bar, wanted, logits.length) : new Int32Array(0)
    return { total: top + Math.log(sum), largest: 1 / sum, ids, logits: Float32Array.from(ids, (id) => row[id]!) }
  }
}

const copied = (values: Float32Array, { scratch }: { readonly scratch: Float32Array }): Float32Array => {
  const copy = scratch.subarray(0, values.length)
  copy.set(values)
  return copy
}

/** The `count` largest of a row, of whose blocks at least as many reach the bar. */
function likeliest(row: Float32Array, maxima: Float32Array, bar: number, count: number, size: number): Int32Array {
  const found: number[] = []
  for (let b = 0; b < maxima.length; b++) {
    if (maxima[b]! < bar) continue
    for (let i = b * block, end = Math.min(size, i + block); i < end; i++) if (row[i]! >= bar) found.push(i)
  }
  if (found.length <= count) return Int32Array.from(found)
  const least = nthLargest(Float32Array.from(found, (i) => row[i]!), count) // prettier-ignore
  let ties = count - found.filter((i) => row[i]! > least).length
  return Int32Array.from(found.filter((i) => row[i]! > least || (row[i] === least && ties-- > 0)))
}

/** The n-th largest value, n from 1; the values are left in another order. Hoare's selection. */
function nthLargest(values: Float32Array, n: number): number {
  let [low, high] = [0, values.length - 1]
  const place = n - 1
  while (low < high) {
    const pivot = values[(low + high) >> 1]!
    let [i, j] = [low, high]
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
