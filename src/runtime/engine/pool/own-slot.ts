// Fills a LoRA's slot directly from its own tensors, so that no copy is kept where memory is
// scarce.

import { checkFinite } from '../../../adapters/adapter.ts'
import { type Adapter, checkAdapter } from '../../../adapters/index.ts'
import { isPackedAdapter } from '../../../adapters/packed/pack-adapter.ts'
import { findOwnFactors } from '../../../adapters/serving/packed-weights.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import type { SlotSource } from './fill-slot.ts'

/**
 * Undefined for an adapter that is more than low-rank factors of layers that slots hold. Throws
 * MismatchError for another base's, NumericError for NaN or infinity.
 */
export function findOwnSlot(
  adapter: Adapter,
  graph: ModelGraph,
  places: ReadonlyMap<string, unknown>,
): { readonly slot: SlotSource; readonly rank: number } | undefined {
  checkAdapter(adapter, graph)
  const factors = [...(findOwnFactors(adapter, graph) ?? [])]
  if (factors.length === 0 || !factors.every(([path]) => places.has(path))) return undefined
  // A packed adapter cannot hold NaN or infinity.
  if (!isPackedAdapter(adapter)) checkFinite(adapter)
  const slot = new Map(
    factors.map(([path, { A, B, scaling: weight }]) => [path, [{ A, B, weight }]]),
  )
  return { slot, rank: Math.max(...factors.map(([, { A }]) => A.shape[0]!)) }
}
