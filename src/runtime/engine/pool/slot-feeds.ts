// Views of slots as the tensors that programs are fed with, each made once.

import { f32, type F32Tensor } from '../../../base/tensor.ts'
import type { SlotLayout } from './slot-layout.ts'

export type SlotFeeds = ReadonlyMap<string, F32Tensor>

/** Which slots, and how the feeds are named and shaped. */
export interface FeedChoice {
  readonly slot: number
  /** How many slots, as the first dimension; undefined: one, without that dimension. */
  readonly count?: number
  /** Comes between a module's name and the matrix's. */
  readonly infix: string
}

const MAX_KEPT = 64 // 32 views of up to 16 slots, each of 240 tensors

/**
 * Feeds by choice. A backend wraps each tensor once, so the same choice gives the same tensors
 * until the arrays are replaced.
 */
export function createFeedCache(layout: SlotLayout, rank: number) {
  const kept = new Map<string, SlotFeeds>()
  let shown: readonly Float32Array[] | undefined
  return (arrays: readonly Float32Array[], choice: FeedChoice): SlotFeeds => {
    if (arrays !== shown || kept.size >= MAX_KEPT) kept.clear()
    shown = arrays
    const key = `${choice.infix} ${choice.slot} ${choice.count}`
    const feeds = kept.get(key) ?? createFeeds(layout, rank, arrays, choice)
    kept.set(key, feeds)
    return feeds
  }
}

function createFeeds(
  layout: SlotLayout,
  rank: number,
  arrays: readonly Float32Array[],
  { slot, count, infix }: FeedChoice,
): SlotFeeds {
  const feeds = new Map<string, F32Tensor>()
  for (const [m, { name, parts, inFeatures, outFeatures, units }] of layout.entries()) {
    const ranks = rank * parts.length
    const cut = [units.owners.length, units.width, rank]
    const view = (values: Float32Array, length: number): Float32Array =>
      values.subarray(slot * length, (slot + (count ?? 1)) * length)
    const A = view(arrays[2 * m]!, ranks * inFeatures)
    const B = view(arrays[2 * m + 1]!, outFeatures * rank)
    const alone = parts.length === 1 ? [outFeatures, rank] : cut
    const shapeA =
      count === undefined ? [ranks, inFeatures] : [count, parts.length, rank, inFeatures]
    feeds.set(`${name}${infix}.A`, f32(shapeA, A))
    feeds.set(`${name}${infix}.B`, f32(count === undefined ? alone : [count, ...cut], B))
  }
  return feeds
}
