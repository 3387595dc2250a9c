// Merges a fast tier on layers into the slow tier's adapter, module by module. Loads src/merge at the
// first call, because most learners never consolidate layers.

import type { Adapter } from '../../adapters/adapter.ts'

export interface FoldedAdapter {
  readonly adapter: Adapter
  /** √(Σ ‖ΔW − ΔW_r‖²) / √(Σ ‖ΔW‖²) over all modules. */
  readonly residual: number
  /** By module: ‖ΔW − ΔW_r‖ / ‖ΔW‖. */
  readonly modules: readonly {
    readonly module: string
    readonly rank: number
    readonly residual: number
  }[]
}

/**
 * ΔW = ΔW_slow + ΔW_fast in every module of either adapter, scales merged, truncated to its largest
 * singular directions through Gram matrices of the factors, without forming a ΔW. Exact where both
 * ranks together are at most `rank`. The result is a LoRA of scale 1. Throws what merging throws: MismatchError for adapters of different bases or shapes, NumericError
 * for NaN or infinity.
 */
export async function foldAdapters(
  slow: Adapter | undefined,
  fast: Adapter,
  rank: number,
): Promise<FoldedAdapter> {
  const { compress, merge } = await import('../../merge/index.ts')
  const sum = slow ? merge([slow, fast], { method: 'weighted', weights: [1, 1] }) : fast
  return compress(sum, { rank })
}
