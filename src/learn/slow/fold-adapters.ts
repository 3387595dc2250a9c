// A fast tier on layers taken over by a slow one: two LoRA adapters as one, module by module. Loads
// merging only when it is asked for.

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
 * slow + fast → slow of a rank: ΔW = ΔW_slow + ΔW_fast in every module that either touches, scales
 * folded in, cut to its largest singular directions through Gram matrices of the factors, without
 * forming a ΔW. Nothing is lost where both ranks together are not above `rank`. A scale-1 LoRA.
 * Throws what merging throws: MismatchError for adapters of different bases or shapes, NumericError
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
