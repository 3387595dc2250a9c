// Experts that act one after the other and cannot be summed: a soft prompt before others. They
// become one expert of several kinds, made once for the same experts.

import type { Adapter } from '../../../adapters/index.ts'
import { joinAdapters } from '../../../adapters/joint/joint-adapters.ts'
import { isMixture } from '../../../adapters/serving/mixture.ts'
import { isWeightZero } from '../../../adapters/serving/part-weight.ts'
import type { AdapterPool, WeightedHandle } from '../pool/adapter-pool.ts'

/** How many joined experts are kept; they have no tensors of their own. */
const mostKept = 64

const made = new WeakMap<AdapterPool, Map<string, Adapter>>()

/**
 * The expert of several kinds that these form at weight 1, if one of them has virtual tokens.
 * Undefined if they must be summed instead, whether or not a sum is possible. Throws
 * UnsupportedError for kinds that cannot act together.
 */
export function joinStack(
  pool: AdapterPool,
  given: readonly WeightedHandle[],
): Adapter | undefined {
  const parts = given.filter(({ weight }) => !isWeightZero(weight))
  const isStack =
    parts.length > 1 &&
    parts.some(({ handle }) => handle.virtualTokens > 0) &&
    parts.every(({ weight }) => weight === 1)
  if (!isStack) return undefined
  const adapters = parts.flatMap(({ handle: { expert } }) =>
    expert && !isMixture(expert) ? [expert] : [],
  )
  if (adapters.length < parts.length) return undefined
  const kept = made.get(pool) ?? new Map<string, Adapter>()
  made.set(pool, kept)
  const key = JSON.stringify(parts.map(({ handle }) => handle.key).toSorted())
  const joint = kept.get(key) ?? joinAdapters(adapters)
  kept.delete(key)
  kept.set(key, joint)
  if (kept.size > mostKept) kept.delete(kept.keys().next().value!)
  return joint
}
